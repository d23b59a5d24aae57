import fc from "fast-check";
import { expect, test } from "vitest";
import { learnMerges, type Merge } from "../../../src/train/data/byte-pairs.ts";

const seed = 4096;

/** The definition, word by word: counts everything anew for each merge. */
function slowMerges(words: readonly (readonly [string, number])[], merges: number) {
  const texts = words.map(([word, count]) => ({ ids: [...new TextEncoder().encode(word)], count }));
  const spellings = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  const made: Merge[] = [];
  while (made.length < merges) {
    const counts = new Map<string, number>();
    for (const { ids, count } of texts) {
      for (let i = 0; i + 1 < ids.length; i++) {
        const pair = `${ids[i]} ${ids[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + count);
      }
    }
    const [best] = [...counts]
      .filter(([, count]) => count >= 2)
      .map(([pair, count]) => ({ pair, count, merge: pair.split(" ").map(Number) as unknown as Merge }))
      .sort((a, b) => b.count - a.count || a.merge[0] - b.merge[0] || a.merge[1] - b.merge[1]);
    if (best === undefined) break;
    const [left, right] = best.merge;
    const spelling = spellings[left]! + spellings[right]!;
    expect(spellings).not.toContain(spelling);
    spellings.push(spelling);
    made.push(best.merge);
    for (const text of texts) {
      const joined: number[] = [];
      for (let i = 0; i < text.ids.length; i++) {
        const isPair = text.ids[i] === left && text.ids[i + 1] === right;
        joined.push(isPair ? spellings.length - 1 : text.ids[i]!);
        if (isPair) i++;
      }
      text.ids = joined;
    }
  }
  return made;
}

test("merges are those of the definition, on words full of repeats", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 12 });
  const corpus = fc.uniqueArray(fc.tuple(letters, fc.integer({ min: 1, max: 5 })), {
    minLength: 1,
    maxLength: 25,
    selector: ([word]) => word,
  });
  const seen = { merges: 0, ended: 0 };
  fc.assert(
    fc.property(corpus, fc.integer({ min: 1, max: 60 }), (words, count) => {
      const made = slowMerges(words, count);
      expect(learnMerges(words, { merges: count })).toEqual(made);
      seen.merges += made.length;
      if (made.length < count) seen.ended++;
    }),
    { seed, numRuns: 300 },
  );
  expect(seen.merges).toBeGreaterThan(3000);
  expect(seen.ended).toBeGreaterThan(50);
});

test("the order of the words does not matter", () => {
  const words = [
    ["abab", 3],
    ["baba", 3],
    ["cab", 7],
  ] as const;
  const merges = learnMerges(words, { merges: 4 });
  expect(learnMerges(words.toReversed(), { merges: 4 })).toEqual(merges);
  expect(merges.length).toBe(4);
});
