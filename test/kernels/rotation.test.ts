/** What the rotation promises, whatever its bits: nothing is lost, products are kept, outliers are spread. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { quantizedBuffer, quantizeRow } from "../../src/kernels/reference/quantize.ts";
import { rotateActivations, rotateWeights, unrotateWeights } from "../../src/kernels/reference/rotate.ts";
import { requireExactSums, rotationBlocks, rotationNegates, SCALE_GROUP } from "../../src/tensor/mod.ts";
import { Random, randomValues } from "./random.ts";

const SEED = 20_250_102;
const lengths = fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 81, max: 5000 }));

/** Two vectors of a length. */
const pairs = fc.tuple(lengths, fc.nat()).map(([length, seed]) => {
  const random = new Random(seed);
  return [randomValues(random, length, "gentle"), randomValues(random, length, "outliers")] as const;
});

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, k) => sum + value * (b[k] as number), 0);
}

const norm = (a: Float32Array): number => Math.sqrt(dot(a, a));

test("blocks follow each other and fill a segment of any length, each the largest that fits", () => {
  fc.assert(
    fc.property(lengths, (length) => {
      let next = 0;
      for (const { first, power } of rotationBlocks(length)) {
        const size = 2 ** power;
        expect(first).toBe(next);
        expect(first % size).toBe(0);
        expect(size <= length - first && size <= 1024).toBe(true);
        expect(2 * size > Math.min(length - first, 1024)).toBe(true);
        next += size;
      }
      expect(next).toBe(length);
    }),
    { seed: SEED },
  );
  expect(rotationBlocks(3000).map(({ power }) => power)).toEqual([10, 10, 9, 8, 7, 5, 4, 3]);
});

test("signs are those the arithmetic defines, about as many of each", () => {
  const mask = 2n ** 32n - 1n;
  let negated = 0;
  for (let position = 0; position < 4096; position++) {
    let u = (BigInt(position) * 2654435761n) & mask;
    u ^= u >> 15n;
    u = (u * 2246822519n) & mask;
    u ^= u >> 13n;
    expect(rotationNegates(position)).toBe((u & 1n) === 1n);
    if (rotationNegates(position)) negated++;
  }
  expect(Math.abs(negated - 2048)).toBeLessThan(200);
});

test("a rotated segment of weights turns back, within rounding", () => {
  fc.assert(
    fc.property(pairs, ([, weights]) => {
      const turned = weights.slice();
      rotateWeights(turned);
      unrotateWeights(turned);
      const apart = norm(turned.map((value, k) => value - (weights[k] as number)));
      expect(apart).toBeLessThanOrEqual(norm(weights) * 12 * 2 ** -23);
    }),
    { seed: SEED },
  );
});

test("products of rotated segments are the products", () => {
  fc.assert(
    fc.property(pairs, ([x, w]) => {
      const [rotatedX, rotatedW] = [x.slice(), w.slice()];
      rotateActivations(rotatedX);
      rotateWeights(rotatedW);
      const error = Math.abs(dot(rotatedX, rotatedW) - dot(x, w));
      expect(error).toBeLessThanOrEqual(norm(x) * norm(w) * 24 * 2 ** -23);
    }),
    { seed: SEED },
  );
});

test("beside an outlier the other activations keep their resolution", () => {
  const random = new Random(SEED);
  const x = randomValues(random, 1024, "gentle");
  x[77] = 64;
  const spec = {
    kind: "quantized",
    name: "q",
    domain: "tokens",
    width: 1024,
    segments: 1,
    format: "i8",
  } as const;
  const buffer = quantizedBuffer(spec, 1);
  expect(quantizeRow(x, buffer, 0)).toBe(true);
  const scaleAt = (k: number) => buffer.scales[Math.floor(k / SCALE_GROUP)] as number;
  expect(Math.max(...buffer.scales)).toBeLessThan(64 / 127 / 4); // a quarter of what it would be without the rotation
  const denoted = Float32Array.from(buffer.q, (q, k) => q * scaleAt(k));
  rotateActivations(x);
  expect(norm(denoted.map((value, k) => value - (x[k] as number)))).toBeLessThan(0.02 * norm(x));
});

test.each([
  ["i8", 133_144],
  ["i4", 16_643],
] as const)("%s sums are exact up to %d values a segment", (format, longest) => {
  requireExactSums(format, longest);
  expect(() => requireExactSums(format, longest + 1)).toThrow(
    expect.objectContaining({ code: "E_MODEL_SHAPE" }),
  );
});
