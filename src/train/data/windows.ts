/**
 * Packing: a corpus as windows of one length, of which training takes batches.
 *
 * A window holds `context` places; each place is a token and the token that follows it, which is to be predicted. Documents are
 * cut into whole windows from their beginning; what is left at their ends is packed together, in order. So no window but a
 * packed one reaches over the end of a document, and every token is predicted exactly once per epoch.
 */

import { assert, at } from "../../base/mod.ts";

/** A run of places of a token file: tokens `start` to `start + length - 1`, each with its successor. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

export class Windows {
  readonly context: number;
  /** How many windows there are. */
  readonly count: number;
  readonly #ranges: readonly Range[];
  /** Per window, the first of its ranges; and the number of ranges. */
  readonly #firsts: readonly number[];

  /** `tokens`: tokens in the file, the one after the last document included. */
  constructor(documents: readonly number[], tokens: number, context: number) {
    assert(context >= 1, "A window should have a place.");
    const whole: Range[] = [];
    const tails: Range[] = [];
    documents.forEach((begin, i) => {
      const end = documents[i + 1] ?? tokens - 1;
      let start = begin;
      for (; start + context <= end; start += context) whole.push({ start, length: context });
      if (start < end) tails.push({ start, length: end - start });
    });
    const packed = packTails(tails, context);
    this.context = context;
    this.count = whole.length + packed.length;
    this.#ranges = [...whole, ...packed.flat()];
    this.#firsts = firstsOf(whole.length, packed);
  }

  /** The ranges of a window, in order. They fill it, but for the last window, which may be shorter. */
  ranges(window: number): readonly Range[] {
    return this.#ranges.slice(at(this.#firsts, window), at(this.#firsts, window + 1));
  }
}

function packTails(tails: readonly Range[], context: number): Range[][] {
  const packed: Range[][] = [];
  let room = 0;
  for (const tail of tails) {
    for (let { start, length } = tail; length > 0; ) {
      if (room === 0) {
        packed.push([]);
        room = context;
      }
      const taken = Math.min(room, length);
      at(packed, packed.length - 1).push({ start, length: taken });
      start += taken;
      length -= taken;
      room -= taken;
    }
  }
  return packed;
}

function firstsOf(whole: number, packed: readonly (readonly Range[])[]): number[] {
  const firsts = Array.from({ length: whole + 1 }, (_, window) => window);
  for (const ranges of packed) firsts.push(at(firsts, firsts.length - 1) + ranges.length);
  return firsts;
}
