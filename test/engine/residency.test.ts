/**
 * Pages under random use, on a device whose pages hold the tokens they were fed: after every operation, each sequence
 * finds its own tokens in its pages, and every page in use is accounted for.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultSampling } from "../../src/engine/mod.ts";
import { Residency } from "../../src/engine/residency.ts";
import { Sequence } from "../../src/engine/sequence.ts";
import { KV_PAGE_TOKENS, type KvPages } from "../../src/kernels/mod.ts";

const PAGES = 14;
const LIMIT = 9;
const PAGE_BYTES = KV_PAGE_TOKENS * Int32Array.BYTES_PER_ELEMENT;

/** A page holds the tokens of its positions. */
class TokenPages implements KvPages {
  readonly kvPageBytes = PAGE_BYTES;
  readonly pages: Int32Array[] = Array.from({ length: PAGES }, () => new Int32Array(KV_PAGE_TOKENS));
  discarded = 0;

  page(index: number): Int32Array {
    return this.pages[index] as Int32Array;
  }

  copyPage(from: number, to: number): void {
    this.page(to).set(this.page(from));
  }

  readPage(page: number, bytes: Uint8Array): void {
    bytes.set(new Uint8Array(this.page(page).buffer));
  }

  writePage(page: number, bytes: Uint8Array): void {
    new Uint8Array(this.page(page).buffer).set(bytes);
  }

  discardPage(page: number): void {
    this.page(page).fill(-1);
    this.discarded++;
  }
}

const seen = { entered: 0, refused: 0, hits: 0, partial: 0, swapped: 0, recomputed: 0, back: 0, full: 0 };

class World {
  readonly kv = new TokenPages();
  readonly residency: Residency;
  readonly waiting: Sequence[] = [];
  readonly running: Sequence[] = [];
  #nextId = 0;

  constructor(swapPages: number) {
    const [swapBytes, clock] = [swapPages * PAGE_BYTES, (): number => 0];
    this.residency = new Residency({
      kv: this.kv,
      pagesMax: PAGES,
      pages: LIMIT,
      swapBytes,
      prefixCache: true,
      clock,
    });
  }

  arrive(family: number, length: number): void {
    const prompt = Int32Array.from({ length }, (_, i) =>
      i < length - 3 ? i * 3 + family : this.#nextId * 7 + i,
    );
    const request = { prompt, maxTokens: 60, sampling: defaultSampling, stopTokens: [] };
    this.waiting.push(new Sequence(this.#nextId++, request, { scope: `${family % 2}`, now: 0 }));
  }

  enter(): void {
    const next = this.waiting.shift();
    if (next === undefined) return;
    const { swapped, cached } = next;
    if (!this.residency.enter(next, this.running.length)) {
      seen.refused++;
      expect(next.cached).toBe(cached);
      this.waiting.push(next);
      return;
    }
    seen.entered++;
    if (swapped !== undefined) seen.back++;
    else if (next.cached > 0) seen.hits++;
    if (next.cached % KV_PAGE_TOKENS !== 0 && swapped === undefined) seen.partial++;
    this.running.push(next);
  }

  /** Feeds up to `count` tokens, and draws one where all are fed. */
  feed(which: number, count: number): void {
    const sequence = this.running[which % this.running.length];
    if (sequence === undefined) return;
    const fed = Math.min(count, sequence.pending);
    if (!this.residency.grow(sequence, fed)) {
      seen.full++;
      return;
    }
    for (let position = sequence.cached; position < sequence.cached + fed; position++) {
      const index = Math.floor(position / KV_PAGE_TOKENS);
      expect(index, "A shared page is never written.").toBeGreaterThanOrEqual(sequence.shared);
      const page = this.kv.page(sequence.pages[index] as number);
      page[position % KV_PAGE_TOKENS] = sequence.tokens[position] as number;
    }
    sequence.advance(fed);
    this.residency.settle(sequence);
    if (sequence.pending === 0 && sequence.length < sequence.tokens.length) sequence.append(which % 2, 0);
    else if (sequence.pending === 0) this.end(which);
  }

  end(which: number): void {
    const [sequence] = this.running.splice(which % Math.max(1, this.running.length), 1);
    if (sequence !== undefined) this.residency.leave(sequence);
  }

  suspend(which: number, tokenMs: number): void {
    const [sequence] = this.running.splice(which % Math.max(1, this.running.length), 1);
    if (sequence === undefined) return;
    const kind = this.residency.suspend(sequence, tokenMs);
    seen[kind === "swap" ? "swapped" : "recomputed"]++;
    this.waiting.push(sequence);
  }

  resize(pages: number): void {
    this.residency.resize(pages);
    while (this.residency.overfull) this.suspend(this.running.length - 1, 1);
    this.residency.discardWithdrawn();
  }

  check(): void {
    const { residency, running, waiting } = this;
    const used = new Set(running.flatMap(({ pages, pageCount }) => [...pages.subarray(0, pageCount)]));
    expect(residency.used).toBe(used.size);
    expect(residency.used + residency.cached + residency.free).toBe(residency.limit);
    expect(residency.swapped).toBe(waiting.reduce((sum, { swapped }) => sum + (swapped?.length ?? 0), 0));
    for (const { tokens, cached, pages } of running) {
      for (let position = 0; position < cached; position++) {
        const page = this.kv.page(pages[Math.floor(position / KV_PAGE_TOKENS)] as number);
        if (page[position % KV_PAGE_TOKENS] !== tokens[position])
          expect.fail(`Position ${position} differs.`);
      }
    }
  }

  finish(): void {
    while (this.running.length > 0) this.end(0);
    for (const sequence of this.waiting) this.residency.forget(sequence);
    this.waiting.length = 0;
    this.check();
    expect(this.residency.used).toBe(0);
  }
}

type Operation = (world: World) => void;

const small = fc.nat(5);
const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(small, fc.integer({ min: 1, max: 140 })).map(
    ([family, length]): Operation =>
      (world) =>
        world.arrive(family, length),
  ),
  { weight: 2, arbitrary: fc.constant<Operation>((world) => world.enter()) },
  {
    weight: 6,
    arbitrary: fc.tuple(small, fc.integer({ min: 1, max: 50 })).map(
      ([which, count]): Operation =>
        (world) =>
          world.feed(which, count),
    ),
  },
  small.map(
    (which): Operation =>
      (world) =>
        world.end(which),
  ),
  fc.tuple(small, fc.constantFrom(0, 1)).map(
    ([which, tokenMs]): Operation =>
      (world) =>
        world.suspend(which, tokenMs),
  ),
  fc.integer({ min: 6, max: PAGES }).map(
    (pages): Operation =>
      (world) =>
        world.resize(pages),
  ),
);

test("every sequence finds its tokens, and every page is accounted for", () => {
  const runs = fc.property(
    fc.array(operations, { minLength: 80, maxLength: 300, size: "max" }),
    fc.nat(12),
    (all, swapPages) => {
      const world = new World(swapPages);
      for (const operate of all) {
        operate(world);
        world.check();
      }
      world.finish();
    },
  );
  fc.assert(runs, { numRuns: 300, seed: 9, endOnFailure: true });
  expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(40);
});
