import fc from "fast-check";
import { expect, test } from "vitest";
import { StopStrings } from "../../src/engine/stop-strings.ts";

function feed(parts: readonly string[], stops: readonly string[]): { text: string; found: boolean } {
  const filter = new StopStrings(stops);
  const pushed = parts.map((part) => filter.push(part)).join("");
  return { text: pushed + filter.end(), found: filter.found };
}

test("text up to the first stop string, however it arrives in pieces", () => {
  let found = 0;
  const letter = fc.constantFrom("a", "b", "c");
  const text = fc.array(letter, { maxLength: 30 }).map((letters) => letters.join(""));
  const stop = fc.array(letter, { minLength: 1, maxLength: 4 }).map((letters) => letters.join(""));
  fc.assert(
    fc.property(fc.array(text, { maxLength: 12 }), fc.array(stop, { maxLength: 3 }), (parts, stops) => {
      const whole = parts.join("");
      const hits = stops
        .filter((s) => whole.includes(s))
        .map((s) => ({ s, end: whole.indexOf(s) + s.length }));
      const first = hits.toSorted((a, b) => a.end - b.end || b.s.length - a.s.length)[0];
      const result = feed(parts, stops);
      expect(result.text).toBe(first === undefined ? whole : whole.slice(0, first.end - first.s.length));
      expect(result.found).toBe(first !== undefined);
      if (result.found) found++;
    }),
    { numRuns: 2000, seed: 5 },
  );
  expect(found).toBeGreaterThan(500);
});

test("nothing is held back that cannot become a stop string", () => {
  const filter = new StopStrings(["\nUser:"]);
  expect(filter.push("Hello")).toBe("Hello");
  expect(filter.push(" there\nUs")).toBe(" there");
  expect(filter.push("ual")).toBe("\nUsual");
});
