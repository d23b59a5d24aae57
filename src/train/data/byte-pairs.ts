/**
 * Byte-pair encoding learned from word counts: the most frequent pair of neighbouring tokens becomes a token, over and
 * over. Source: Sennrich et al., 2016; Radford et al., GPT-2, 2019.
 *
 * Counts are kept per pair and corrected where a merge changes them, so a merge costs what it touches and not the corpus.
 */

import { assert } from "../../base/mod.ts";
import { PairHeap } from "./pair-heap.ts";
import { layWords, type Symbols } from "./symbols.ts";

/** Tokens 0 to 255 are the bytes; merge i makes token 256 + i of two that come before it. */
export type Merge = readonly [left: number, right: number];

export interface MergeOptions {
  /** How many merges are wanted. */
  readonly merges: number;
  onProgress?(done: number, total: number): void;
}

const BYTES = 256;
/** Pairs that occur once are no rule. */
const COUNT_MIN = 2;
/** A pair is one number, `left * SHIFT + right`. */
const SHIFT = 2 ** 16;

/**
 * Learns merges, in the order in which they apply. Among pairs of one count the smallest is taken, so the result is a function
 * of the counts alone. No two merges spell the same bytes: between borders that no merge has crossed, equal bytes are always
 * cut equally. Fewer merges than asked for come back when no pair is left that occurs twice.
 */
export function learnMerges(
  words: Iterable<readonly [word: string, count: number]>,
  options: MergeOptions,
): Merge[] {
  assert(options.merges <= SHIFT - BYTES, "Tokens should fit 16 bits.");
  const learner = new Learner(layWords(words));
  const merges: Merge[] = [];
  while (merges.length < options.merges) {
    const merge = learner.next();
    if (merge === undefined) break;
    merges.push(merge);
    options.onProgress?.(merges.length, options.merges);
  }
  return merges;
}

class Learner {
  readonly #symbols: Symbols;
  /** Per pair: how often it occurs in the corpus. */
  readonly #counts = new Map<number, number>();
  /** Per pair: the symbols it began with at some time, in ascending order; not all may still do. */
  readonly #places = new Map<number, number[]>();
  /** Holds at least one entry per pair that is as large as the pair's count. */
  readonly #heap = new PairHeap();
  #tokens = BYTES;

  constructor(symbols: Symbols) {
    this.#symbols = symbols;
    const { ids, next } = symbols;
    for (let left = 0; left < ids.length; left++) if (next[left]! >= 0) this.#gain(left);
    for (const [pair, count] of this.#counts) this.#heap.push({ count, pair });
  }

  /** Makes the next token; undefined when nothing worth a token is left. */
  next(): Merge | undefined {
    for (let entry = this.#heap.pop(); entry !== undefined; entry = this.#heap.pop()) {
      const { pair } = entry;
      const count = this.#counts.get(pair) ?? 0;
      if (count < COUNT_MIN) continue;
      if (count !== entry.count) {
        // It became rarer since; a pair that became more frequent was pushed again then.
        if (count < entry.count) this.#heap.push({ count, pair });
        continue;
      }
      const merge: Merge = [Math.floor(pair / SHIFT), pair % SHIFT];
      this.#apply(merge, this.#tokens++);
      return merge;
    }
    return undefined;
  }

  /** Joins the pair wherever it stands, the leftmost first, and corrects the counts of the pairs around. */
  #apply([left, right]: Merge, token: number): void {
    const { ids, next, previous } = this.#symbols;
    const pair = left * SHIFT + right;
    const gained = new Set<number>();
    for (const place of this.#places.get(pair) ?? []) {
      const joined = next[place]!;
      if (ids[place] !== left || joined < 0 || ids[joined] !== right) continue;
      const before = previous[place]!;
      const after = next[joined]!;
      if (before >= 0) this.#lose(before);
      if (after >= 0) this.#lose(joined);
      ids[place] = token;
      ids[joined] = -1;
      next[place] = after;
      if (after >= 0) previous[after] = place;
      if (before >= 0) gained.add(this.#gain(before));
      if (after >= 0) gained.add(this.#gain(place));
    }
    this.#counts.delete(pair);
    this.#places.delete(pair);
    for (const made of gained) this.#heap.push({ count: this.#counts.get(made) ?? 0, pair: made });
  }

  #pairAt(left: number): number {
    const { ids, next } = this.#symbols;
    return ids[left]! * SHIFT + ids[next[left]!]!;
  }

  /** Counts the pair that begins at `left`. */
  #gain(left: number): number {
    const pair = this.#pairAt(left);
    this.#counts.set(pair, (this.#counts.get(pair) ?? 0) + this.#symbols.counts[left]!);
    const places = this.#places.get(pair);
    if (places === undefined) this.#places.set(pair, [left]);
    else places.push(left);
    return pair;
  }

  #lose(left: number): void {
    const pair = this.#pairAt(left);
    this.#counts.set(pair, (this.#counts.get(pair) ?? 0) - this.#symbols.counts[left]!);
  }
}
