/** A pool of equal pages: which are free, and how many hold on to each that is not. Every operation takes one step. */

import { assert, at } from "../base/mod.ts";

export class PagePool {
  /** Pages there are; how many of them may be used is `limit`. */
  readonly total: number;
  readonly #free: Int32Array;
  readonly #references: Int32Array;
  #freeCount: number;
  #limit: number;

  constructor(total: number, limit: number = total) {
    this.total = total;
    // Handed out from the end, so page 0 goes first, and pages beyond the limit stay at the front.
    this.#free = Int32Array.from({ length: total }, (_, i) => total - 1 - i);
    this.#references = new Int32Array(total);
    this.#freeCount = total;
    this.#limit = limit;
    assert(limit <= total, "No more pages can be used than there are.");
  }

  get limit(): number {
    return this.#limit;
  }

  /** Changes how many pages may be in use; those that are beyond it are `excess` until they come back. */
  set limit(pages: number) {
    assert(pages >= 0 && pages <= this.total, "No more pages can be used than there are.");
    this.#limit = pages;
  }

  get used(): number {
    return this.total - this.#freeCount;
  }

  /** Pages that can be taken. */
  get free(): number {
    return Math.max(0, this.#limit - this.used);
  }

  /** Pages in use beyond the limit. */
  get excess(): number {
    return Math.max(0, this.used - this.#limit);
  }

  /** Takes a free page, held once. */
  take(): number {
    assert(this.free > 0, "A page is taken only while one is free.");
    const page = this.#free[--this.#freeCount] as number;
    this.#references[page] = 1;
    return page;
  }

  /** Holds a page that is in use once more. */
  hold(page: number): void {
    assert(this.references(page) > 0, "Only a page in use can be shared.");
    this.#references[page] = this.references(page) + 1;
  }

  /** Lets go of a page once; it is free when nobody holds it any more. How many still do. */
  release(page: number): number {
    const left = (this.#references[page] ?? 0) - 1;
    assert(left >= 0, "A page was released more often than it was held.");
    this.#references[page] = left;
    if (left === 0) this.#free[this.#freeCount++] = page;
    return left;
  }

  references(page: number): number {
    return at(this.#references, page);
  }

  /** Free pages that the limit keeps from being used: nobody will take them before it rises. */
  get withdrawn(): number {
    return Math.min(this.#freeCount, this.total - this.#limit);
  }

  /** Which page the withdrawn one of this index is; it keeps its index while it is withdrawn. */
  withdrawnPage(index: number): number {
    assert(index < this.withdrawn, "Only so many pages are withdrawn.");
    return at(this.#free, index);
  }
}
