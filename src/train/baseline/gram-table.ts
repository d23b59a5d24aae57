/** Counts by runs of up to five bytes: a hash table in flat arrays, for tens of millions of lookups a second. */

import { assert } from "../../base/mod.ts";

const CAPACITY_MIN = 1 << 10;
/** Knuth's multiplier, 2^32 over the golden ratio, and another odd one for the fifth byte. */
const MULTIPLIER = 0x9e3779b1;
const HIGH_MULTIPLIER = 0x85ebca6b;

/** A run of bytes as a number: the last four in `low` (32 bits), the one before them in `high`. */
export class GramTable {
  #lows = new Uint32Array(CAPACITY_MIN);
  #highs = new Uint8Array(CAPACITY_MIN);
  /** 0 marks a free place. */
  #counts = new Uint32Array(CAPACITY_MIN);
  #shift = Math.clz32(CAPACITY_MIN) + 1;
  #size = 0;

  /** Runs with a count. */
  get size(): number {
    return this.#size;
  }

  count(high: number, low: number): number {
    return this.#counts[this.#find(high, low)]!;
  }

  /** Adds a positive number to a run's count. */
  add(high: number, low: number, by: number): void {
    assert(by > 0, "A count grows.");
    const place = this.#find(high, low);
    if (this.#counts[place] === 0) {
      this.#lows[place] = low;
      this.#highs[place] = high;
      this.#size++;
    }
    this.#counts[place]! += by;
    if (this.#size * 2 > this.#counts.length) this.#grow();
  }

  /** Visits every run. */
  forEach(visit: (high: number, low: number, count: number) => void): void {
    for (let place = 0; place < this.#counts.length; place++) {
      const count = this.#counts[place]!;
      if (count > 0) visit(this.#highs[place]!, this.#lows[place]!, count);
    }
  }

  /** The run's place, or the free one where it belongs. */
  #find(high: number, low: number): number {
    const mask = this.#counts.length - 1;
    let place = Math.imul(low ^ Math.imul(high, HIGH_MULTIPLIER), MULTIPLIER) >>> this.#shift;
    while (this.#counts[place] !== 0 && (this.#lows[place] !== low || this.#highs[place] !== high)) {
      place = (place + 1) & mask;
    }
    return place;
  }

  #grow(): void {
    const [lows, highs, counts] = [this.#lows, this.#highs, this.#counts];
    this.#lows = new Uint32Array(lows.length * 2);
    this.#highs = new Uint8Array(lows.length * 2);
    this.#counts = new Uint32Array(lows.length * 2);
    this.#shift--;
    for (let old = 0; old < counts.length; old++) {
      if (counts[old] === 0) continue;
      const place = this.#find(highs[old]!, lows[old]!);
      this.#lows[place] = lows[old]!;
      this.#highs[place] = highs[old]!;
      this.#counts[place] = counts[old]!;
    }
  }
}
