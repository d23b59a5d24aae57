/**
 * The two 16-bit floats: IEEE 754 binary16 ("f16") and bfloat16 ("bf16", the upper half of an f32). Both conversions
 * to 16 bits round to nearest, ties to even, subnormals included. Values on disk are little endian, as are the
 * machines this project runs on, so typed-array views of file bytes need no swapping.
 */

const HALF_COUNT = 65_536;

const f16Cell = new Float16Array(1);
const f16Bits = new Uint16Array(f16Cell.buffer);
const f32Cell = new Float32Array(1);
const f32Bits = new Uint32Array(f32Cell.buffer);

/** The f32 value of each f16 bit pattern: a lookup is several times faster than a conversion per element. */
export const f16Values: Float32Array = makeF16Values();

function makeF16Values(): Float32Array {
  const bits = Uint16Array.from({ length: HALF_COUNT }, (_, index) => index);
  return Float32Array.from(new Float16Array(bits.buffer));
}

/** The f32 value of the f16 whose bit pattern is the lower 16 bits of `bits`; exact. */
export function f16ToF32(bits: number): number {
  return f16Values[bits & 0xffff] as number;
}

/** The bit pattern of the f16 nearest to `value` (ties to even); beyond 65,504 plus half a unit it is infinity. */
export function f32ToF16Bits(value: number): number {
  f16Cell[0] = value;
  return f16Bits[0] as number;
}

/** The f32 value of the bf16 whose bit pattern is the lower 16 bits of `bits`; exact. */
export function bf16ToF32(bits: number): number {
  f32Bits[0] = bits << 16;
  return f32Cell[0] as number;
}

/** The bit pattern of the bf16 nearest to the f32 `value` (ties to even); a NaN stays a (quiet) NaN. */
export function f32ToBf16Bits(value: number): number {
  f32Cell[0] = value;
  const bits = f32Bits[0] as number;
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
