/** A pair of tokens and how often it occurs, as of when it was pushed. */
export interface CountedPair {
  readonly count: number;
  /** `left * 2^16 + right`. */
  readonly pair: number;
}

/** A binary heap of pairs: the most frequent first, among equals the smallest pair. */
export class PairHeap {
  readonly #entries: CountedPair[] = [];

  push(entry: CountedPair): void {
    const entries = this.#entries;
    let slot = entries.length;
    entries.push(entry);
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      const above = entries[parent]!;
      if (!precedes(entry, above)) break;
      entries[slot] = above;
      slot = parent;
    }
    entries[slot] = entry;
  }

  /** Takes the first entry out; `undefined` when none is left. */
  pop(): CountedPair | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (last !== undefined && entries.length > 0) this.#sink(last);
    return top;
  }

  /** Puts `entry` where it belongs below the vacant top. */
  #sink(entry: CountedPair): void {
    const entries = this.#entries;
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && precedes(entries[child + 1]!, entries[child]!)) child++;
      if (!precedes(entries[child]!, entry)) break;
      entries[slot] = entries[child]!;
      slot = child;
    }
    entries[slot] = entry;
  }
}

function precedes(a: CountedPair, b: CountedPair): boolean {
  return a.count > b.count || (a.count === b.count && a.pair < b.pair);
}
