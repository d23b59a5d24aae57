import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GramTable } from "../../../src/train/baseline/gram-table.ts";
import { ByteGrams } from "../../../src/train/baseline/mod.ts";

const encoder = new TextEncoder();

/** The definition, with strings for runs and every count taken from the text anew. */
function slowProbability(texts: readonly string[], context: string, byte: string): number {
  const runs = new Map<string, number>();
  for (const text of texts) {
    const padded = `\0\0\0\0${text}`;
    for (let i = 4; i < padded.length; i++) {
      const run = padded.slice(i - 4, i + 1);
      runs.set(run, (runs.get(run) ?? 0) + 1);
    }
  }
  const levels = [runs];
  for (let order = 4; order >= 1; order--) {
    const ends = new Map<string, number>();
    for (const run of levels[0]!.keys()) ends.set(run.slice(1), (ends.get(run.slice(1)) ?? 0) + 1);
    levels.unshift(ends);
  }
  let probability = 1 / 256;
  for (let order = 1; order <= 5; order++) {
    const level = [...levels[order - 1]!];
    const history = context.slice(context.length - (order - 1));
    const after = level.filter(([run]) => run.slice(0, -1) === history);
    if (after.length === 0) break;
    const of = (count: number): number => level.filter(([, each]) => each === count).length;
    const discount = of(1) > 0 && of(2) > 0 ? of(1) / (of(1) + 2 * of(2)) : 0.5;
    const total = after.reduce((sum, [, count]) => sum + count, 0);
    const count = levels[order - 1]!.get(history + byte) ?? 0;
    probability = Math.max(count - discount, 0) / total + ((discount * after.length) / total) * probability;
  }
  return probability;
}

describe("the 5-gram model", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", " "), minLength: 1, maxLength: 60 });

  test("is interpolated Kneser-Ney by its definition", () => {
    let seen = 0;
    fc.assert(
      fc.property(fc.array(letters, { minLength: 1, maxLength: 4 }), letters, (texts, text) => {
        const grams = new ByteGrams(texts.map((each) => encoder.encode(each)));
        const padded = `\0\0\0\0${text}`;
        let expected = 0;
        for (let i = 4; i < padded.length; i++) {
          expected -= Math.log(slowProbability(texts, padded.slice(i - 4, i), padded[i]!));
          seen++;
        }
        expect(grams.negativeLogLikelihood(encoder.encode(text))).toBeCloseTo(expected, 8);
      }),
      { seed: 5, numRuns: 300 },
    );
    expect(seen).toBeGreaterThan(1200);
  });

  test("gives probabilities that add up to one after any context, bytes never seen included", () => {
    const grams = new ByteGrams([encoder.encode("the cat sat on the mat; the cat ran. é")]);
    for (const context of ["the ", "at, ", "zzzz", "\0\0\0\0", "e ca"]) {
      const distribution = grams.distribution(encoder.encode(context));
      expect(distribution.reduce((sum, each) => sum + each, 0)).toBeCloseTo(1, 12);
      expect(distribution.every((each) => each > 0)).toBe(true);
    }
  });
});

test("the table counts as a map does, high bytes and zero included, while it grows", () => {
  const table = new GramTable();
  const map = new Map<number, number>();
  let state = 1;
  for (let i = 0; i < 40_000; i++) {
    state = (state * 48_271) % 2_147_483_647;
    const [high, low] = [state % 3 === 0 ? 255 : 0, state % 5 === 0 ? state % 7 : (state * 2) % 2 ** 32];
    table.add(high, low, 1 + (i % 3));
    map.set(high * 2 ** 32 + low, (map.get(high * 2 ** 32 + low) ?? 0) + 1 + (i % 3));
  }
  expect(table.size).toBe(map.size);
  const found = new Map<number, number>();
  table.forEach((high, low, count) => void found.set(high * 2 ** 32 + low, count));
  expect(found).toEqual(map);
  expect(table.count(1, 12_345)).toBe(0);
  expect(map.size).toBeGreaterThan(10_000);
});
