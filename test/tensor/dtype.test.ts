import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bf16ToF32,
  blockLayout,
  dequantize,
  f16ToF32,
  f32ToBf16Bits,
  f32ToF16Bits,
  quantizeSource,
  type SourceType,
  sourceByteLength,
  sourceTypeId,
  sourceTypeOfId,
  sourceTypes,
} from "../../src/tensor/mod.ts";

/** The value of an f16 pattern from its definition, without any conversion of the platform. */
function f16ByDefinition(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function encode(type: SourceType, values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(sourceByteLength(type, values.length));
  quantizeSource(type, Float32Array.from(values), bytes);
  return bytes;
}

function decode(type: SourceType, bytes: Uint8Array, length: number): Float32Array {
  const out = new Float32Array(length);
  dequantize(type, bytes, out);
  return out;
}

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });

describe("half floats", () => {
  test("all 65,536 f16 patterns have their defined value and come back, as Float16Array has it", () => {
    const platform = new Float16Array(new Uint16Array(65_536).map((_, index) => index).buffer);
    for (let bits = 0; bits < 65_536; bits++) {
      const value = f16ToF32(bits);
      expect(Object.is(value, f16ByDefinition(bits))).toBe(true);
      expect(Object.is(value, platform[bits])).toBe(true);
      if (Number.isNaN(value)) expect(Number.isNaN(f16ToF32(f32ToF16Bits(value)))).toBe(true);
      else expect(f32ToF16Bits(value)).toBe(bits);
    }
  });

  test("between neighbouring f16 values: halves go to the even one, the rest to the nearer", () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = f16ByDefinition(bits);
      const middle = low + (f16ByDefinition(bits + 1) - low) / 2;
      const above = Math.fround(middle * (1 + 2 ** -23));
      const below = Math.fround(middle * (1 - 2 ** -23));
      expect(f32ToF16Bits(middle)).toBe(bits + (bits & 1));
      expect(f32ToF16Bits(above)).toBe(bits + 1);
      expect(f32ToF16Bits(below)).toBe(bits);
      expect(f32ToF16Bits(-above)).toBe(0x8000 + bits + 1);
    }
    expect(f32ToF16Bits(65_519.996)).toBe(0x7bff);
    expect(f32ToF16Bits(65_520)).toBe(0x7c00);
  });

  test("bf16 is the upper half of an f32, rounded to nearest even", () => {
    expect(f32ToBf16Bits(1)).toBe(0x3f80);
    expect(f32ToBf16Bits(1 + 2 ** -8)).toBe(0x3f80);
    expect(f32ToBf16Bits(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(f32ToBf16Bits(1 + 2 ** -8 + 2 ** -20)).toBe(0x3f81);
    expect(f32ToBf16Bits(Number.NEGATIVE_INFINITY)).toBe(0xff80);
    expect(bf16ToF32(f32ToBf16Bits(Number.NaN))).toBeNaN();
    for (let bits = 0; bits < 65_536; bits++) {
      const value = bf16ToF32(bits);
      if (!Number.isNaN(value)) expect(f32ToBf16Bits(value)).toBe(bits);
    }
  });
});

describe("blocks", () => {
  test("Q8_0 decodes a hand-made block: f16 0.5, then -16 to 15", () => {
    const bytes = Uint8Array.from([0x00, 0x38, ...Array.from({ length: 32 }, (_, i) => (i - 16) & 255)]);
    expect([...decode("Q8_0", bytes, 32)]).toEqual(Array.from({ length: 32 }, (_, i) => (i - 16) / 2));
  });

  test("Q4_0 decodes a hand-made block: low nibbles first, then high ones", () => {
    const bytes = Uint8Array.from([0x00, 0x40, ...Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4))]);
    const low = Array.from({ length: 16 }, (_, i) => (i - 8) * 2);
    expect([...decode("Q4_0", bytes, 32)]).toEqual([...low, ...low.toReversed()]);
  });

  test("Q8_0 encodes: scale absmax/127, halves away from zero", () => {
    const values = [127, -126.5, 0.5, -0.5, 0.49, 2.5, ...new Array<number>(26).fill(0)];
    const quants = [127, -127, 1, -1, 0, 3, ...new Array<number>(26).fill(0)];
    expect([...encode("Q8_0", values)]).toEqual([0x00, 0x3c, ...quants.map((q) => q & 255)]);
  });

  test("Q4_0 encodes: the first extreme becomes -8 whatever its sign, the other end is cut at 7", () => {
    const values = [8, -8, 1, 0.5, -0.5, ...new Array<number>(27).fill(0)];
    const bytes = encode("Q4_0", values);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0xbc]); // -1
    // x * -1 + 8.5, cut: 0.5, 16.5 -> 15, 7.5, 8.0, 9.0, then 8.5
    expect([...bytes.subarray(2, 8)]).toEqual([0x80, 0x8f, 0x87, 0x88, 0x89, 0x88]);
  });

  test("a block of zeros has scale zero", () => {
    for (const type of ["Q8_0", "Q4_0"] as const) {
      expect([...decode(type, encode(type, new Float32Array(32)), 32)].every((value) => value === 0)).toBe(
        true,
      );
    }
  });
});

describe("every source type", () => {
  test.each(sourceTypes)("%s: encoding what was decoded gives the same values, at any alignment", (type) => {
    const block = blockLayout(type).elements;
    const values = fc.array(fc.integer({ min: -2000, max: 2000 }), {
      minLength: 2 * block,
      maxLength: 2 * block,
    });
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 3 }), (integers, shift) => {
        const once = decode(type, encode(type, integers), integers.length);
        const bytes = encode(type, once);
        const moved = new Uint8Array(bytes.length + shift).subarray(shift);
        moved.set(bytes);
        const twice = decode(type, moved, integers.length);
        const tolerance = type === "Q8_0" || type === "Q4_0" ? 2 ** -9 : 0;
        once.forEach((value, i) => {
          expect(Math.abs((twice[i] as number) - value)).toBeLessThanOrEqual(Math.abs(value) * tolerance);
        });
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test("F32 keeps every bit", () => {
    fc.assert(
      fc.property(fc.array(finite), (values) => {
        expect([...decode("F32", encode("F32", values), values.length)]).toEqual(values);
      }),
      { seed: 2 },
    );
  });

  test("the error of Q8_0 is at most half a step and a rounded scale, of Q4_0 a step", () => {
    const values = fc.array(fc.integer({ min: -(2 ** 20), max: 2 ** 20 }), { minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(values, (integers) => {
        const scaled = integers.map((integer) => integer / 2 ** 20);
        const absmax = Math.max(...scaled.map(Math.abs));
        for (const [type, steps] of [
          ["Q8_0", 127 * 2 * 0.9],
          ["Q4_0", 8 * 0.99],
        ] as const) {
          decode(type, encode(type, scaled), 32).forEach((value, i) => {
            expect(Math.abs(value - (scaled[i] as number))).toBeLessThanOrEqual(absmax / steps + 2 ** -23);
          });
        }
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  test("ids are ggml's and come back; others are named with the supported list", () => {
    expect(sourceTypes.map(sourceTypeId)).toEqual([0, 1, 30, 8, 2]);
    for (const type of sourceTypes) expect(sourceTypeOfId(sourceTypeId(type), "t")).toBe(type);
    for (const [id, name] of [
      [3, "Q4_1"],
      [12, "Q4_K"],
      [14, "Q6_K"],
      [20, "IQ4_NL"],
      [28, "F64"],
      [39, "MXFP4"],
      [1000, "number 1000, which is unknown"],
    ] as const) {
      expect(() => sourceTypeOfId(id, "blk.0.attn_q.weight")).toThrow(
        expect.objectContaining({
          code: "E_GGUF_TYPE",
          message: `Tensor "blk.0.attn_q.weight" has the type ${name}; the types that can be read are F32, F16, BF16, Q8_0, Q4_0.`,
        }),
      );
    }
  });
});
