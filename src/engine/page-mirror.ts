/**
 * Keeps copies of running requests' KV pages in a store, so that another runtime can go on with them: a page when it is full, and
 * the last page of a request every few tokens. No step waits for a copy; what was not copied in time is computed again.
 */

import { at } from "../base/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import { COPIES_UNDER_WAY_MAX, PARTIAL_COPY_TOKENS, RESTORED_AHEAD, TAILS_KEPT } from "./limits.ts";
import { pageKey, rootKey } from "./page-keys.ts";
import type { PageStore } from "./page-store.ts";
import type { FoundPages, Residency } from "./residency.ts";
import type { PageCopies } from "./runtime.ts";
import type { Sequence } from "./sequence.ts";

/** Who counts. */
export interface MirrorCounts {
  /** A page was copied out. */
  copied(): void;
  /** So many tokens need not be computed again. */
  restored(tokens: number): void;
}

/** What is copied of a sequence, or on its way. */
interface Copied {
  /** Full pages, and the name of the last of them. */
  pages: number;
  key: string;
  /** Tokens of the page after them that its newest copy has; 0: there is none. */
  tokens: number;
  /** Names of the newest copies of pages that were not full. */
  readonly tails: string[];
}

export class PageMirror {
  readonly #store: PageStore;
  readonly #counts: MirrorCounts;
  #copies: PageCopies;
  #copied = new WeakMap<Sequence, Copied>();
  readonly #underWay = new Set<string>();

  constructor(store: PageStore, copies: PageCopies, counts: MirrorCounts) {
    this.#store = store;
    this.#copies = copies;
    this.#counts = counts;
  }

  /** After a step that a sequence was in: begins to copy what is new. */
  copy(sequence: Sequence): void {
    const { tokens, pages, cached } = sequence;
    const copied = this.#of(sequence);
    while ((copied.pages + 1) * KV_PAGE_TOKENS <= cached) {
      if (this.#busy) return;
      const from = copied.pages * KV_PAGE_TOKENS;
      copied.key = pageKey(copied.key, tokens, from, from + KV_PAGE_TOKENS);
      this.#begin(copied.key, at(pages, copied.pages++));
      copied.tokens = 0;
    }
    const from = copied.pages * KV_PAGE_TOKENS;
    const count = cached - from;
    if (count < copied.tokens + PARTIAL_COPY_TOKENS) return;
    if (this.#busy) return;
    const key = pageKey(copied.key, tokens, from, cached);
    this.#begin(key, at(pages, copied.pages));
    copied.tokens = count;
    // Whoever goes on may know a few tokens less than this engine has drawn, and then has no use for the newest.
    copied.tails.push(key);
    while (copied.tails.length > TAILS_KEPT) this.#store.drop(copied.tails.shift() ?? key);
  }

  /** Brings pages of these sequences, in this order, to another runtime, as far as it has room. */
  async move(copies: PageCopies, sequences: readonly Sequence[], residency: Residency): Promise<void> {
    this.#copies = copies;
    // Copies that were under way may never have come.
    this.#copied = new WeakMap();
    await this.restore(sequences, residency);
  }

  /** Brings what the store has of these sequences, in this order, into the prefix tree, as far as there is room. */
  async restore(sequences: readonly Sequence[], residency: Residency): Promise<void> {
    const restore = this.#restorer(residency);
    const wanted = [...sequences];
    const finding: Promise<FoundPages>[] = [];
    for (const sequence of sequences) {
      // The next ones are looked for while this one's pages are written; not all, since what is found takes memory.
      const ahead = wanted.splice(0, 1 + RESTORED_AHEAD - finding.length);
      finding.push(...ahead.map((each) => this.#find(each, residency.known(each))));
      const found = await finding.shift();
      if (found !== undefined) this.#counts.restored(await restore(sequence, found));
    }
  }

  /** The same for full pages of a sequence that may come. */
  async expect(sequence: Sequence, residency: Residency): Promise<void> {
    const found = await this.#findFull(sequence, residency.known(sequence));
    await this.#restorer(residency)(sequence, found);
  }

  #restorer(residency: Residency): ReturnType<Residency["restorer"]> {
    const copies = this.#copies;
    return residency.restorer((page, bytes) => copies.write(page, bytes));
  }

  /** What the store has of a sequence after its first `known` pages, without a gap. The last token is always fed. */
  async #find(sequence: Sequence, known: number): Promise<FoundPages> {
    const { tokens, length } = sequence;
    const { key, copies } = await this.#findFull(sequence, known);
    const from = (known + copies.length) * KV_PAGE_TOKENS;
    const most = Math.min(KV_PAGE_TOKENS - 1, length - 1 - from);
    const ends = Array.from({ length: Math.max(0, most) }, (_, i) => from + most - i);
    const tails = await this.#store.find(ends.map((end) => pageKey(key, tokens, from, end)));
    const longest = tails.findIndex((bytes) => bytes !== undefined);
    const bytes = tails[longest];
    return bytes === undefined
      ? { known, copies }
      : { known, copies: [...copies, { bytes, end: at(ends, longest) }] };
  }

  /** Full pages alone, and the name of the last one that there is. */
  async #findFull(
    { tokens, length, scope }: Sequence,
    known: number,
  ): Promise<FoundPages & { readonly key: string }> {
    const keys = [rootKey(this.#copies.kind, scope)];
    const pages = Math.floor((length - 1) / KV_PAGE_TOKENS);
    for (let page = 0; page < pages; page++) {
      const from = page * KV_PAGE_TOKENS;
      keys.push(pageKey(at(keys, page), tokens, from, from + KV_PAGE_TOKENS));
    }
    const full = await this.#store.find(keys.slice(1 + known));
    const missing = full.indexOf(undefined);
    const count = missing < 0 ? full.length : missing;
    const copies = full.slice(0, count).map((bytes, i) => {
      return { bytes: bytes as Uint8Array, end: (known + i + 1) * KV_PAGE_TOKENS };
    });
    return { known, copies, key: at(keys, known + count) };
  }

  get #busy(): boolean {
    return this.#underWay.size >= (this.#copies.atOnce ?? COPIES_UNDER_WAY_MAX);
  }

  #of(sequence: Sequence): Copied {
    const known = this.#copied.get(sequence);
    if (known !== undefined) return known;
    const copied = { pages: 0, key: rootKey(this.#copies.kind, sequence.scope), tokens: 0, tails: [] };
    this.#copied.set(sequence, copied);
    return copied;
  }

  /** What is read is the page as it is now, whatever happens to it later. */
  #begin(key: string, page: number): void {
    if (this.#underWay.has(key) || this.#store.has(key)) return;
    this.#underWay.add(key);
    const done = (): void => void this.#underWay.delete(key);
    this.#copies
      .read(page)
      .then((bytes) => {
        this.#store.put(key, bytes);
        this.#counts.copied();
      })
      // That what computes is lost is noticed elsewhere.
      .catch(() => {})
      .finally(done);
  }
}
