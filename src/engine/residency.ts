/**
 * Which sequences have their keys and values on the device: gives them pages, shares those that others computed, and
 * takes them away again. A page in use is held by sequences, by the prefix cache, or by both.
 */

import { assert, at } from "../base/mod.ts";
import { KV_PAGE_TOKENS, type KvPages } from "../kernels/mod.ts";
import { PagePool } from "./pages.ts";
import { PrefixCache, type PrefixNode } from "./prefix-cache.ts";
import { pagesFor, type Sequence } from "./sequence.ts";
import { SwapSpace } from "./swap-space.ts";

export interface ResidencyOptions {
  readonly kv: KvPages;
  /** Pages allocated, and how many may be used at first. */
  readonly pagesMax: number;
  readonly pages: number;
  readonly swapBytes: number;
  /** Whether sequences find what others computed. */
  readonly prefixCache: boolean;
  readonly clock: () => number;
}

/** A copy of the page that ends before position `end`. */
export interface CopiedPage {
  readonly bytes: Uint8Array;
  readonly end: number;
}

/** What there is of a sequence's beginning: full pages that the tree had, and copies of those after them. */
export interface FoundPages {
  readonly known: number;
  readonly copies: readonly CopiedPage[];
}

export type Preemption = "swap" | "recompute";

export class Residency {
  readonly #kv: KvPages;
  readonly #pool: PagePool;
  readonly #cache: PrefixCache | undefined;
  readonly #swap: SwapSpace;
  #discarded = 0;

  constructor({ kv, pagesMax, pages, swapBytes, prefixCache, clock }: ResidencyOptions) {
    this.#kv = kv;
    this.#pool = new PagePool(pagesMax, pages);
    this.#cache = prefixCache ? new PrefixCache(this.#pool) : undefined;
    this.#swap = new SwapSpace(kv, swapBytes, clock);
    this.#discarded = this.#pool.withdrawn;
  }

  /** Pages that may be used. */
  get limit(): number {
    return this.#pool.limit;
  }

  get free(): number {
    return this.#pool.free;
  }

  /** Pages that only the prefix cache holds: as good as free. */
  get cached(): number {
    return this.#cache?.idle ?? 0;
  }

  /** Pages ever added to the prefix cache. */
  get additions(): number {
    return this.#cache?.additions ?? 0;
  }

  /** Pages of sequences. */
  get used(): number {
    return this.#pool.used - this.cached;
  }

  /** Places of preempted sequences' pages that are taken. */
  get swapped(): number {
    return this.#swap.used;
  }

  /** Sets how many pages may be used; while more are, `overfull` is true. */
  resize(pages: number): void {
    this.#pool.limit = pages;
    this.#discarded = Math.min(this.#discarded, this.#pool.total - pages);
  }

  /** Whether more pages are in use than may be, though the cache has given up what it could. */
  get overfull(): boolean {
    while (this.#pool.excess > 0 && this.#cache?.evict());
    return this.#pool.excess > 0;
  }

  /** Gives the memory of pages that may not be used any more back to the system. */
  discardWithdrawn(): void {
    while (this.#discarded < this.#pool.withdrawn) {
      this.#kv.discardPage(this.#pool.withdrawnPage(this.#discarded++));
    }
  }

  /**
   * Brings a sequence in: back from the swap space, or with what the prefix cache has of it. False, and nothing
   * changed, when fewer than `spare` pages would remain beside those for the tokens it has.
   */
  enter(sequence: Sequence, spare: number): boolean {
    if (sequence.swapped === undefined) this.reuse(sequence);
    const missing = pagesFor(sequence.length) - sequence.pageCount;
    if (missing + spare > this.free + this.cached) {
      if (sequence.swapped === undefined) this.leave(sequence);
      return false;
    }
    if (sequence.swapped !== undefined) this.#bringBack(sequence, sequence.swapped);
    return true;
  }

  /** Moves a sequence on as far as the prefix cache has the tokens that come next; one is always left to be fed. */
  reuse(sequence: Sequence): void {
    const cache = this.#cache;
    // Pages that came back from the swap space join the tree when a step has completed another.
    if (cache === undefined || sequence.cached !== sequence.shared * KV_PAGE_TOKENS) return;
    let node = place(cache, sequence);
    while (sequence.cached + KV_PAGE_TOKENS < sequence.length) {
      const found = cache.find(node, sequence.tokens, sequence.cached);
      if (found === undefined) break;
      this.#adopt(sequence, found, cache);
      sequence.advance(KV_PAGE_TOKENS);
      node = found;
    }
    this.#copyPartial(sequence, node, cache);
  }

  /** Makes sure that the next `count` tokens have pages, at the cost of cached ones; false when there are too few. */
  grow(sequence: Sequence, count: number): boolean {
    const needed = pagesFor(sequence.cached + count);
    while (sequence.pageCount < needed) {
      if (this.free === 0 && !this.#cache?.evict()) return false;
      sequence.addPage(this.#pool.take());
    }
    return true;
  }

  /** After a step: pages that have become full can be found by others, and are shared where others had them before. */
  settle(sequence: Sequence): void {
    const cache = this.#cache;
    if (cache === undefined) return;
    while ((sequence.shared + 1) * KV_PAGE_TOKENS <= sequence.cached) {
      const from = sequence.shared * KV_PAGE_TOKENS;
      const node = place(cache, sequence);
      const found = cache.find(node, sequence.tokens, from);
      if (found !== undefined) {
        this.#adopt(sequence, found, cache);
      } else {
        const page = at(sequence.pages, sequence.shared);
        sequence.share(cache.add(node, sequence.tokens, [from, from + KV_PAGE_TOKENS], page), page);
      }
    }
  }

  /** Full pages of a sequence's beginning that the tree has; a token is always left to be fed. */
  known({ scope, tokens, length }: Sequence): number {
    let node = this.#cache?.root(scope);
    let pages = 0;
    for (; node !== undefined; pages++) {
      const from = pages * KV_PAGE_TOKENS;
      node = from + KV_PAGE_TOKENS < length ? this.#cache?.find(node, tokens, from) : undefined;
      if (node === undefined) break;
    }
    return pages;
  }

  /**
   * Puts copies of sequences' pages into the tree, one sequence after the other: from its beginning on without a gap, and as far as
   * there is room beside what is in use; the last may be of a page that is not full. How many tokens the sequence will find there.
   */
  restorer(
    write: (page: number, bytes: Uint8Array) => Promise<void>,
  ): (sequence: Sequence, found: FoundPages) => Promise<number> {
    // What one sequence was given is not taken from it for the next.
    let room = this.free + this.cached;
    return async ({ scope, tokens }, { known, copies }) => {
      const cache = this.#cache;
      if (cache === undefined) return 0;
      let node = cache.root(scope);
      let from = 0;
      const here = (end: number): PrefixNode | undefined => {
        const found = cache.find(node, tokens, from, end);
        if (found !== undefined) cache.hold(found);
        return found;
      };
      for (let page = 0; page < known; page++) {
        const found = here(from + KV_PAGE_TOKENS);
        // It gave way since copies were looked for.
        if (found === undefined) break;
        node = found;
        from += KV_PAGE_TOKENS;
      }
      for (const { bytes, end } of from === known * KV_PAGE_TOKENS ? copies : []) {
        const found = here(end);
        if (found === undefined && (room === 0 || (this.free === 0 && !cache.evict()))) break;
        if (found !== undefined) {
          node = found;
        } else {
          room--;
          const page = this.#pool.take();
          const written = write(page, bytes);
          // Before anybody else has a turn: the page is this sequence's now.
          node = cache.add(node, tokens, [from, end], page);
          await written;
        }
        from = end;
      }
      // Held until now, so that children rest before their parents.
      cache.release(node);
      return from;
    };
  }

  /** Takes everything from a sequence that has ended, or that could not enter. */
  leave(sequence: Sequence): void {
    if (sequence.node !== undefined) this.#cache?.release(sequence.node);
    for (let i = sequence.shared; i < sequence.pageCount; i++) this.#pool.release(at(sequence.pages, i));
    sequence.drop();
  }

  /** Frees the swapped pages of a sequence that will not come back. */
  forget(sequence: Sequence): void {
    if (sequence.swapped !== undefined) this.#swap.discard(sequence.swapped);
    sequence.swapped = undefined;
  }

  /** Takes a running sequence's pages: keeps a copy where that is cheaper than computing them again and there is room. */
  suspend(sequence: Sequence, tokenMs: number): Preemption {
    const { pageCount, cached } = sequence;
    const filled = pagesFor(cached);
    const cheaper = 2 * filled * this.#swap.pageMs <= cached * tokenMs;
    if (!cheaper || filled === 0 || filled > this.#swap.free) {
      this.leave(sequence);
      return "recompute";
    }
    assert(filled <= pageCount, "What is cached lies in pages.");
    const places = this.#swap.store(sequence.pages.subarray(0, filled));
    this.leave(sequence);
    sequence.swapped = places;
    sequence.advance(cached);
    return "swap";
  }

  #bringBack(sequence: Sequence, places: Int32Array): void {
    const grown = this.grow(sequence, 0);
    assert(grown, "Room was found before.");
    this.#swap.restore(places, sequence.pages.subarray(0, places.length));
    sequence.swapped = undefined;
  }

  /** Uses a page of the tree for the sequence's next one, in place of its own if it has one. */
  #adopt(sequence: Sequence, node: PrefixNode, cache: PrefixCache): void {
    cache.hold(node);
    if (sequence.pageCount > sequence.shared) this.#pool.release(at(sequence.pages, sequence.shared));
    sequence.share(node, node.page);
  }

  /** A page that begins like the next one is copied: what follows in it will differ. */
  #copyPartial(sequence: Sequence, node: PrefixNode, cache: PrefixCache): void {
    const hit = cache.findPartial(node, sequence.tokens, sequence.cached, sequence.length - 1);
    if (hit === undefined) return;
    // Held, so that it is not evicted for the copy's sake.
    cache.hold(hit.node);
    if (this.grow(sequence, hit.tokens)) {
      this.#kv.copyPage(hit.node.page, at(sequence.pages, sequence.shared));
      sequence.advance(hit.tokens);
    }
    cache.rest(hit.node);
  }
}

/** Where in the tree a sequence stands: below it come the pages of its next tokens. */
function place(cache: PrefixCache, { node, scope }: Sequence): PrefixNode {
  // While no page of the scope was cached, its root was not known yet.
  return node === undefined || node.parent === undefined ? cache.root(scope) : node;
}
