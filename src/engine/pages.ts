/** The pool of KV pages: which are free, and how many the running sequences may still ask for. */

import { assert, at } from "../base/mod.ts";

export class PagePool {
  readonly total: number;
  readonly #free: Int32Array;
  #freeCount: number;
  #reserved = 0;

  constructor(total: number) {
    this.total = total;
    // Handed out from the end, so page 0 goes first.
    this.#free = Int32Array.from({ length: total }, (_, i) => total - 1 - i);
    this.#freeCount = total;
  }

  get free(): number {
    return this.#freeCount;
  }

  /** Pages neither in use nor promised. */
  get unreserved(): number {
    return this.#freeCount - this.#reserved;
  }

  /** Promises `count` pages to a sequence; false when there are not as many. */
  reserve(count: number): boolean {
    if (count > this.unreserved) return false;
    this.#reserved += count;
    return true;
  }

  /** Takes one promised page. */
  take(): number {
    assert(this.#reserved > 0 && this.#freeCount > 0, "A page is taken only out of a reservation.");
    this.#reserved--;
    this.#freeCount--;
    return at(this.#free, this.#freeCount);
  }

  /** Returns pages in use, and promises not made use of. */
  release(pages: readonly number[], promised: number): void {
    for (const page of pages) {
      this.#free[this.#freeCount++] = page;
    }
    this.#reserved -= promised;
    assert(this.#freeCount <= this.total && this.#reserved >= 0, "More pages came back than were taken.");
  }
}
