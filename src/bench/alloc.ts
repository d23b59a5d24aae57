/** I/O: reads the clock. The engine's pool of KV pages against malloc, on the same requests of different lengths. */

import { at } from "../base/mod.ts";
import { PagePool } from "../engine/mod.ts";
import { KV_PAGE_TOKENS, type MallocTrace, traceMalloc } from "../kernels/mod.ts";
import { median } from "./rounds.ts";

export interface AllocReport {
  readonly bench: "alloc";
  readonly rounds: number;
  /** Requests in the trace, sequences that are there at once, and positions of the shortest and longest request. */
  readonly requests: number;
  readonly sequences: number;
  readonly positions: readonly [number, number];
  readonly bytesPerPosition: number;
  readonly pool: {
    /** Of taking a page and releasing it. */
    readonly nanosecondsPerPage: number;
    readonly nanosecondsPerRequest: number;
    /** Of the pages in use when most positions were: the share of positions that nobody uses. */
    readonly fragmentation: number;
  };
  readonly malloc: {
    readonly nanosecondsPerRequest: number;
    /** Of the memory the process took when most bytes were live: the share that nobody used. */
    readonly fragmentation: number;
    readonly liveBytes: number;
    readonly residentBytes: number;
  };
}

const REQUESTS = 20_000;
const SEQUENCES = 64;
const SHORTEST = 16;
const LONGEST = 4096;
/** Keys and values of a small model; what malloc takes for a larger one is measured in seconds. */
const BYTES_PER_POSITION = 2048;

/** A request of `positions` in the place of the sequence that was in `slot`. */
interface Request {
  readonly slot: number;
  readonly positions: number;
}

/** Measures both on one trace. E_NATIVE. */
export function measureAlloc(rounds: number): AllocReport {
  const trace = makeTrace();
  const poolRounds: PoolRound[] = [];
  const mallocRounds: MallocTrace[] = [];
  const requests = Int32Array.from(
    trace.flatMap(({ slot, positions }) => [slot, positions * BYTES_PER_POSITION]),
  );
  for (let round = 0; round <= rounds; round++) {
    poolRounds.push(poolRound(trace));
    mallocRounds.push(traceMalloc(requests, SEQUENCES));
  }
  const counted = poolRounds.slice(1);
  const { pages, fragmentation } = at(counted, 0);
  const poolSeconds = median(counted.map(({ seconds }) => seconds));
  const mallocSeconds = median(mallocRounds.slice(1).map(({ seconds }) => seconds));
  // Later rounds take over what earlier ones left; the first one finds nothing.
  const { liveBytes, residentBytes } = at(mallocRounds, 0);
  return {
    bench: "alloc",
    rounds,
    requests: trace.length,
    sequences: SEQUENCES,
    positions: [SHORTEST, LONGEST],
    bytesPerPosition: BYTES_PER_POSITION,
    pool: {
      nanosecondsPerPage: (poolSeconds / pages) * 1e9,
      nanosecondsPerRequest: (poolSeconds / trace.length) * 1e9,
      fragmentation,
    },
    malloc: {
      nanosecondsPerRequest: (mallocSeconds / trace.length) * 1e9,
      fragmentation: Math.max(0, 1 - liveBytes / residentBytes),
      liveBytes,
      residentBytes,
    },
  };
}

/** Lengths spread evenly over powers of two, as those of chats and documents together are; the same every time. */
function makeTrace(): Request[] {
  const random = lehmer();
  const doublings = Math.log2(LONGEST / SHORTEST);
  return Array.from({ length: REQUESTS }, () => {
    const slot = Math.floor(random() * SEQUENCES);
    return { slot, positions: Math.floor(SHORTEST * 2 ** (random() * doublings)) };
  });
}

/** Lehmer's generator with Park and Miller's constants (1988): numbers in [0, 1). */
function lehmer(): () => number {
  let state = 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}

interface PoolRound {
  readonly seconds: number;
  readonly pages: number;
  readonly fragmentation: number;
}

function poolRound(trace: readonly Request[]): PoolRound {
  const perSequence = Math.ceil(LONGEST / KV_PAGE_TOKENS);
  const pool = new PagePool(perSequence * SEQUENCES);
  const held = Array.from({ length: SEQUENCES }, () => ({ pages: [] as number[], positions: 0 }));
  let [pages, live, mostLive, mostPages] = [0, 0, 0, 0];
  const start = performance.now();
  for (const { slot, positions } of trace) {
    const sequence = at(held, slot);
    live += positions - sequence.positions;
    sequence.positions = positions;
    pages += serve(pool, sequence.pages, Math.ceil(positions / KV_PAGE_TOKENS));
    if (live <= mostLive) continue;
    mostLive = live;
    mostPages = pool.total - pool.free;
  }
  for (const sequence of held) serve(pool, sequence.pages, 0);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, pages, fragmentation: 1 - mostLive / (mostPages * KV_PAGE_TOKENS) };
}

/** Releases what a sequence held and takes `count` pages; how many it took. */
function serve(pool: PagePool, pages: number[], count: number): number {
  for (const page of pages) pool.release(page);
  pages.length = 0;
  for (let page = 0; page < count; page++) pages.push(pool.take());
  return count;
}
