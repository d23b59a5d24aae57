/** KV pages of preempted sequences, copied out of the device: a bounded buffer of page-sized places. */

import { at } from "../base/mod.ts";
import type { KvPages } from "../kernels/mod.ts";
import { PagePool } from "./pages.ts";

/** Bytes copied in a millisecond before anything was measured: 2 GB/s. */
const BYTES_PER_MS_ASSUMED = 2e6;

/** How much a new measurement counts. */
const SMOOTHING = 0.2;

export class SwapSpace {
  readonly #kv: KvPages;
  readonly #clock: () => number;
  readonly #pool: PagePool;
  /** Made when it is first needed. */
  #memory: Uint8Array | undefined;
  #pageMs: number;

  /** As many places as `bytes` hold; their memory is the system's until they are first used. */
  constructor(kv: KvPages, bytes: number, clock: () => number) {
    const places = Math.floor(bytes / kv.kvPageBytes);
    this.#kv = kv;
    this.#clock = clock;
    this.#pool = new PagePool(places);
    this.#pageMs = kv.kvPageBytes / BYTES_PER_MS_ASSUMED;
  }

  get free(): number {
    return this.#pool.free;
  }

  get used(): number {
    return this.#pool.used;
  }

  /** What copying a page one way is estimated to take. */
  get pageMs(): number {
    return this.#pageMs;
  }

  /** Copies pages out; the places they are in now. */
  store(pages: Int32Array): Int32Array {
    const places = pages.map(() => this.#pool.take());
    this.#timed(pages.length, () => {
      for (const [i, page] of pages.entries()) this.#kv.readPage(page, this.#place(at(places, i)));
    });
    return places;
  }

  /** Copies places back into pages, and frees them. */
  restore(places: Int32Array, pages: Int32Array): void {
    this.#timed(places.length, () => {
      for (const [i, place] of places.entries()) this.#kv.writePage(at(pages, i), this.#place(place));
    });
    this.discard(places);
  }

  /** Frees places whose pages are not needed any more. */
  discard(places: Int32Array): void {
    for (const place of places) this.#pool.release(place);
  }

  #place(index: number): Uint8Array {
    const { kvPageBytes } = this.#kv;
    this.#memory ??= new Uint8Array(this.#pool.total * kvPageBytes);
    return this.#memory.subarray(index * kvPageBytes, (index + 1) * kvPageBytes);
  }

  #timed(pages: number, copy: () => void): void {
    const from = this.#clock();
    copy();
    if (pages > 0) this.#pageMs += ((this.#clock() - from) / pages - this.#pageMs) * SMOOTHING;
  }
}
