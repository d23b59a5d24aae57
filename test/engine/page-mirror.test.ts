/** Copies of KV pages: another runtime goes on with them, to the same bits, and computes next to nothing again. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PARTIAL_COPY_TOKENS } from "../../src/engine/limits.ts";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type GenerationRequest,
  type PageCopies,
  type Runtime,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import { MemoryPageStore } from "../../src/engine/page-store.ts";
import {
  type Device,
  KV_PAGE_TOKENS,
  nativeAvailable,
  openNativeDevice,
  ReferenceDevice,
} from "../../src/kernels/mod.ts";
import { type TinyModel, tinyModel } from "./tiny.ts";

const SIZES = { format: "i8", context: 256, batch: 4, rows: 64 } as const;
const OPTIONS = { vocabulary: 512, batch: 4, clock: (): number => 0 };
const BOUND = 2 ** 30;

let tiny: TinyModel;
const devices: Device[] = [];

/** A runtime on a device of its own, whose pages can be copied. */
async function open(pages?: number): Promise<Runtime & { readonly copies: PageCopies }> {
  const device = nativeAvailable()
    ? openNativeDevice({ threads: 1, pinThreads: "never" })
    : new ReferenceDevice();
  devices.push(device);
  const runtime = await createRuntime(device, tiny.model, SIZES);
  const copies: PageCopies = {
    kind: device.name,
    read: async (page) => {
      const bytes = new Uint8Array(device.kvPageBytes);
      device.readPage(page, bytes);
      return bytes;
    },
    write: async (page, bytes) => device.writePage(page, bytes),
  };
  return { ...runtime, copies, ...(pages !== undefined && { pages, pagesMax: pages }) };
}

beforeAll(() => {
  tiny = tinyModel(6);
});

afterEach(() => {
  for (const device of devices.splice(0)) device.close();
});

afterAll(() => tiny.remove());

function request(
  seed: number,
  promptTokens: number,
  change: Partial<GenerationRequest> = {},
): GenerationRequest {
  const prompt = Int32Array.from({ length: promptTokens }, (_, i) => (i * 31 + seed * 17 + 1) % 512);
  return {
    prompt,
    maxTokens: 60,
    sampling: { ...defaultSampling, seed, logprobs: 1 },
    stopTokens: [],
    ...change,
  };
}

function submit(engine: Engine, asked: GenerationRequest): TokenEvent[] {
  const events: TokenEvent[] = [];
  engine.submit(asked, {
    token: (event) => events.push(event),
    failed: (error) => expect.fail(error.message),
  });
  return events;
}

interface Outcome {
  readonly answers: readonly (readonly TokenEvent[])[];
  readonly copied: number;
  readonly restored: number;
  /** Rows beside those that draw a token, after the move. */
  readonly rowsAgain: number;
}

/** Answers with a move in the middle; `spoil` may change what is kept. */
async function moved(
  requests: readonly GenerationRequest[],
  { store, pages }: { readonly store: MemoryPageStore | undefined; readonly pages?: number },
  spoil: () => void = () => {},
): Promise<Outcome> {
  let [copied, restored, rowsAgain] = [0, 0, 0];
  const counts = {
    copied: () => void copied++,
    restored: (tokens: number) => {
      restored += tokens;
    },
  };
  const mirror = store && { store, counts };
  const engine = new Engine({ ...OPTIONS, ...(await open()), mirror });
  const answers = requests.map((asked) => submit(engine, asked));
  while (answers.some(({ length }) => length < 20)) await engine.step();
  spoil();
  await engine.move(await open(pages));
  engine.observe({
    stepped: ({ rows, drawn }) => {
      rowsAgain += rows - drawn;
    },
  });
  while (await engine.step());
  return { answers, copied, restored, rowsAgain };
}

async function alone(requests: readonly GenerationRequest[]): Promise<TokenEvent[][]> {
  const engine = new Engine({ ...OPTIONS, ...(await open()) });
  const answers = requests.map((asked) => submit(engine, asked));
  while (await engine.step());
  return answers;
}

const requests = [request(1, 100), request(2, 131), request(3, 20), request(4, 64)];
const tokens = 100 + 131 + 20 + 64 + 4 * 20;

describe("after a move", () => {
  test("all but a few tokens come from copies, and no bit is another", async () => {
    const expected = await alone(requests);
    const outcome = await moved(requests, { store: new MemoryPageStore(BOUND) });
    expect(outcome.answers).toEqual(expected);
    expect(outcome.rowsAgain).toBeLessThanOrEqual(requests.length * PARTIAL_COPY_TOKENS);
    expect(outcome.restored).toBeGreaterThan(tokens - requests.length * (PARTIAL_COPY_TOKENS + 1));
    expect(outcome.copied).toBeGreaterThanOrEqual(Math.floor(tokens / KV_PAGE_TOKENS));
  });

  test("without copies everything is computed again, to the same bits", async () => {
    const outcome = await moved(requests, { store: undefined });
    expect(outcome.answers).toEqual(await alone(requests));
    expect(outcome.rowsAgain).toBeGreaterThan(tokens - 2 * requests.length);
  });

  test("copies that are gone leave more to compute, and change nothing", async () => {
    const store = new MemoryPageStore(BOUND);
    const keys: string[] = [];
    const put = store.put.bind(store);
    store.put = (key, bytes) => {
      keys.push(key);
      put(key, bytes);
    };
    const outcome = await moved(requests, { store }, () => {
      for (const key of keys.slice(2, 4)) store.drop(key);
    });
    expect(outcome.answers).toEqual(await alone(requests));
    expect(outcome.rowsAgain).toBeGreaterThan(requests.length * PARTIAL_COPY_TOKENS);
    expect(outcome.restored).toBeGreaterThan(0);
  });

  test("a copy with another bit is noticed by this test: it is what the answer comes from", async () => {
    const store = new MemoryPageStore(BOUND);
    const kept: Uint8Array[] = [];
    const put = store.put.bind(store);
    store.put = (key, bytes) => {
      kept.push(bytes);
      put(key, bytes);
    };
    const outcome = await moved(requests, { store }, () => {
      for (const bytes of kept) for (let i = 1; i < bytes.length; i += 2) bytes[i] = (bytes[i] ?? 0) ^ 8;
    });
    expect(outcome.answers).not.toEqual(await alone(requests));
  });

  test("a cache too small for all takes what has room", async () => {
    const outcome = await moved(requests, { store: new MemoryPageStore(BOUND), pages: 7 });
    expect(outcome.answers).toEqual(await alone(requests));
    expect(outcome.restored).toBeGreaterThan(4 * KV_PAGE_TOKENS);
  });

  test("requests may come and end while pages are written, and nobody else's bits change", async () => {
    const store = new MemoryPageStore(BOUND);
    const counts = { copied: () => {}, restored: () => {} };
    const engine = new Engine({ ...OPTIONS, ...(await open()), mirror: { store, counts } });
    const answers = requests.map((asked) => submit(engine, asked));
    while (answers.some(({ length }) => length < 20)) await engine.step();
    const next = await open();
    const late: TokenEvent[][] = [];
    let [writes, written] = [0, 0];
    const write = async (page: number, bytes: Uint8Array): Promise<void> => {
      // The second request, while its own pages are written, and one whose pages are here already.
      if (++writes === 6) engine.cancel(1);
      if (writes === 8) engine.cancel(0);
      if (writes === 9) late.push(submit(engine, request(2, 131)));
      await next.copies.write(page, bytes);
      await new Promise(setImmediate);
      written++;
    };
    await engine.move({ ...next, copies: { ...next.copies, write } });
    expect(writes).toBeGreaterThan(9);
    expect(written).toBe(writes);
    const before = answers.slice(0, 2).map(({ length }) => length);
    while (await engine.step());
    const [, second, third, fourth] = await alone(requests);
    expect(answers.slice(2)).toEqual([third, fourth]);
    expect(late).toEqual([second]);
    expect(answers.slice(0, 2).map(({ length }) => length)).toEqual(before);
    expect(engine.load.pagesFree).toBe(next.pages);
  });

  test("a tenant is given none of another's", async () => {
    const store = new MemoryPageStore(BOUND);
    await moved([request(1, 100, { tenant: "a" })], { store });
    const counts = { copied: () => {}, restored: (count: number) => expect(count).toBe(0) };
    const engine = new Engine({ ...OPTIONS, ...(await open()), mirror: { store, counts } });
    submit(engine, request(1, 100, { tenant: "b" }));
    await engine.move(await open());
  });
});

describe("the store", () => {
  const page = (): Uint8Array => new Uint8Array(10);

  test("keeps to its bound; what was put or found longest ago goes", async () => {
    let forgotten = 0;
    const store = new MemoryPageStore(35, () => forgotten++);
    for (const key of ["a", "b", "c"]) store.put(key, page());
    expect(await store.find(["a", "x"])).toEqual([page(), undefined]);
    store.put("d", page());
    expect(["a", "b", "c", "d"].map((key) => store.has(key))).toEqual([true, false, true, true]);
    expect({ forgotten, bytes: store.bytes }).toEqual({ forgotten: 1, bytes: 30 });
  });

  test("counts what takes another's place once, and takes nothing larger than its bound", () => {
    const store = new MemoryPageStore(35);
    store.put("a", page());
    store.put("a", page());
    store.put("b", new Uint8Array(36));
    expect({ bytes: store.bytes, b: store.has("b") }).toEqual({ bytes: 10, b: false });
    store.drop("a");
    store.drop("a");
    expect(store.bytes).toBe(0);
  });
});

describe("another engine, with the same store", () => {
  const counts = { copied: () => {}, restored: () => {} };

  /** What an engine had drawn that is gone now: nothing of it is left but the tokens, and the copies. */
  async function begun(store: MemoryPageStore, drawn: number): Promise<TokenEvent[][]> {
    const first = new Engine({ ...OPTIONS, ...(await open()), mirror: { store, counts } });
    const answers = requests.map((asked) => submit(first, asked));
    while (answers.some(({ length }) => length < drawn)) await first.step();
    return answers;
  }

  /** Goes on with it. `late`: whether requests come one after the other, while copies of those before are looked for. */
  async function goneOn(
    store: MemoryPageStore,
    before: readonly (readonly TokenEvent[])[],
    late = false,
  ): Promise<Outcome> {
    let [restored, rowsAgain] = [0, 0];
    const mirrorCounts = {
      ...counts,
      restored: (count: number) => {
        restored += count;
      },
    };
    const other = new Engine({ ...OPTIONS, ...(await open()), mirror: { store, counts: mirrorCounts } });
    other.observe({
      stepped: ({ rows, drawn }) => {
        rowsAgain += rows - drawn;
      },
    });
    const waiting = requests.map((asked, i) => {
      const drawn = Int32Array.from(before[i] ?? [], ({ token }) => token);
      return () => submit(other, { ...asked, drawn });
    });
    const rest: TokenEvent[][] = [];
    const come = (count: number): unknown => waiting.splice(0, count).map((next) => rest.push(next()));
    come(late ? 1 : waiting.length);
    const find = store.find.bind(store);
    store.find = async (keys) => {
      come(1);
      await new Promise(setImmediate);
      return find(keys);
    };
    while (await other.step());
    const answers = rest.map((events, i) => [...(before[i] ?? []), ...events]);
    return { answers, copied: 0, restored, rowsAgain };
  }

  test.each([false, true])(
    "goes on with requests that one had begun, and computes next to nothing again; late: %s",
    async (late) => {
      const store = new MemoryPageStore(BOUND);
      const outcome = await goneOn(store, await begun(store, 20), late);
      expect(outcome.answers).toEqual(await alone(requests));
      expect(outcome.restored).toBeGreaterThan(tokens - requests.length * (PARTIAL_COPY_TOKENS + 1));
      expect(outcome.rowsAgain).toBeLessThanOrEqual(requests.length * PARTIAL_COPY_TOKENS);
    },
  );

  test("brings copies of full pages while the other still runs, where it is told of requests", async () => {
    const store = new MemoryPageStore(BOUND);
    const before = await begun(store, 20);
    const other = new Engine({ ...OPTIONS, ...(await open()), mirror: { store, counts } });
    for (const [i, asked] of requests.entries()) {
      other.expect({ ...asked, drawn: Int32Array.from(before[i] ?? [], ({ token }) => token) });
    }
    other.expect(request(1, 5000));
    expect(await other.step()).toBe(false);
    // The first engine's copies are gone with it.
    store.find = async (keys) => keys.map(() => undefined);
    let rowsAgain = 0;
    other.observe({
      stepped: ({ rows, drawn }) => {
        rowsAgain += rows - drawn;
      },
    });
    const rest = requests.map((asked, i) => {
      return submit(other, { ...asked, drawn: Int32Array.from(before[i] ?? [], ({ token }) => token) });
    });
    while (await other.step());
    expect(rest.map((events, i) => [...(before[i] ?? []), ...events])).toEqual(await alone(requests));
    expect(rowsAgain).toBeLessThan(requests.length * KV_PAGE_TOKENS);
  });

  test("has the pages of requests that ended give way to copies", async () => {
    const store = new MemoryPageStore(BOUND);
    const before = await begun(store, 20);
    let restored = 0;
    const counted = {
      ...counts,
      restored: (count: number) => {
        restored += count;
      },
    };
    const pages = 16;
    const mirror = { store, counts: counted };
    const other = new Engine({ ...OPTIONS, ...(await open(pages)), mirror });
    // Its cache is full of them.
    submit(other, request(7, 120));
    submit(other, request(8, 190));
    while (await other.step());
    const rest = requests.map((asked, i) => {
      return submit(other, { ...asked, drawn: Int32Array.from(before[i] ?? [], ({ token }) => token) });
    });
    while (await other.step());
    expect(rest.map((events, i) => [...(before[i] ?? []), ...events])).toEqual(await alone(requests));
    expect(restored).toBeGreaterThan((pages - 4) * KV_PAGE_TOKENS - requests.length * PARTIAL_COPY_TOKENS);
  });

  // Around the end of a page, where the copies of what was not full yet matter most.
  test.each([1, 9])("also where %i tokens fewer are known of them than had been drawn", async (fewer) => {
    const expected = await alone(requests);
    for (let drawn = 24; drawn <= 40; drawn++) {
      const store = new MemoryPageStore(BOUND);
      const known = (await begun(store, drawn)).map((events) => events.slice(0, -fewer));
      const outcome = await goneOn(store, known);
      expect(outcome.answers).toEqual(expected);
      expect(outcome.rowsAgain).toBeLessThanOrEqual(2 * requests.length * PARTIAL_COPY_TOKENS);
    }
  });
});
