/** exp and log from plain arithmetic: near the language's own everywhere, and at the ends what the page says. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { exactExp, exactExpEach, exactLog } from "../../src/base/mod.ts";

/** Of a unit in the last place, at most so many away. */
const ULPS = 4;

function near(value: number, reference: number): boolean {
  return Object.is(value, reference) || Math.abs(value - reference) <= ULPS * 2 ** -52 * Math.abs(reference);
}

test("both are within a few units in the last place of the language's own", () => {
  let seen = 0;
  fc.assert(
    fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => {
      seen++;
      return near(exactExp(x), Math.exp(x)) && (x <= 0 || near(exactLog(x), Math.log(x)));
    }),
    { numRuns: 5000 },
  );
  expect(seen).toBeGreaterThanOrEqual(5000);
});

test("a whole array gives what each value gives alone, and what lies behind it stays", () => {
  const values = fc.array(fc.oneof(fc.double(), fc.double({ min: -800, max: 800 })), { maxLength: 20 });
  fc.assert(
    fc.property(values, (list) => {
      const each = Float64Array.from([...list, 3]);
      exactExpEach(each, list.length);
      expect([...each]).toEqual([...list.map(exactExp), 3]);
    }),
  );
});

test("the ends", () => {
  const { NaN: nan, POSITIVE_INFINITY: infinite, NEGATIVE_INFINITY: below } = Number;
  expect([0, nan, infinite, below, 709.5, -708.5].map(exactExp)).toEqual([1, nan, infinite, 0, infinite, 0]);
  expect([1, 0, -1, nan, infinite].map(exactLog)).toEqual([0, below, nan, nan, infinite]);
});
