/** Every distinct word of a corpus as a run of symbols, which merging joins in place. */

import { assert } from "../../base/mod.ts";

/** Symbols side by side, a word after another. */
export interface Symbols {
  /** Per symbol: its token; -1 once it is joined to its left neighbour. */
  readonly ids: Int32Array;
  /** Per symbol: the neighbours in its word; -1 where there is none. */
  readonly next: Int32Array;
  readonly previous: Int32Array;
  /** Per symbol: how often its word occurs. A count, so at most 2^53. */
  readonly counts: Float64Array;
}

/** The words' bytes as symbols: byte b is token b. */
export function layWords(words: Iterable<readonly [word: string, count: number]>): Symbols {
  const encoder = new TextEncoder();
  const entries = Array.from(words, ([word, count]) => ({ bytes: encoder.encode(word), count }));
  const total = entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert(total < 2 ** 31, "The distinct words of a corpus should fit an index of 31 bits.");
  const ids = new Int32Array(total);
  const next = new Int32Array(total);
  const previous = new Int32Array(total);
  const counts = new Float64Array(total);
  let start = 0;
  for (const { bytes, count } of entries) {
    const end = start + bytes.length;
    ids.set(bytes, start);
    counts.fill(count, start, end);
    for (let i = start; i < end; i++) {
      previous[i] = i === start ? -1 : i - 1;
      next[i] = i === end - 1 ? -1 : i + 1;
    }
    start = end;
  }
  return { ids, next, previous, counts };
}
