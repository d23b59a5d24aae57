/** Streams on their way into the journal, and journals that are slow, down, or refuse. */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { defaultSampling } from "../../src/engine/mod.ts";
import { Journal, type JournalToken, MemoryJournalStore } from "../../src/journal/mod.ts";
import {
  type JournalCounts,
  JournalledStream,
  type Opening,
  readOpening,
  type StreamJournal,
  writeOpening,
} from "../../src/server/streams/mod.ts";

const timeout = (milliseconds: number, expire: () => void): (() => void) => {
  // Sooner than in earnest, in the same order.
  const timer = setTimeout(expire, milliseconds / 20);
  return () => clearTimeout(timer);
};

/** A journal that may be told to refuse, or not to answer. */
function setUp() {
  const journal = new Journal({
    store: new MemoryJournalStore(),
    secret: new Uint8Array(32),
    random: randomBytes,
  });
  const state = { down: false, writes: 0, hold: Promise.resolve() };
  const steady = async (): Promise<void> => {
    state.writes++;
    await state.hold;
    if (state.down) throw new ClawError("E_CONTROL", "It is down.");
  };
  const streamJournal: StreamJournal = {
    required: true,
    open: (id, opening) => steady().then(() => journal.open(1, id, opening)),
    tokens: (id, batches) => steady().then(() => journal.tokens(1, id, batches)),
    close: (id) => steady().then(() => journal.close(1, id)),
  };
  const counts: JournalCounts = { streams: 0, behind: 0, failures: 0, unjournalled: 0 };
  const stream = new JournalledStream({ timeout, counts, journal: streamJournal, id: "s" });
  const kept = async (choice = 0): Promise<number> =>
    (await journal.read()).streams[0]?.drawn.get(choice)?.length ?? 0;
  return { journal, state, counts, stream, kept };
}

const token = (id: number, finish?: "stop"): JournalToken => ({
  ...{ token: id, logprob: undefined, top: [], finish },
});

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (await condition()) return;
    await sleep(2);
  }
  throw new Error(`Waited in vain for ${condition}.`);
}

describe("a stream in the journal", () => {
  test("its tokens come there in few writes, each answer's in order, however many there are", async () => {
    const { stream, counts, state, kept, journal } = setUp();
    stream.push(0, token(0));
    await stream.open("{}");
    for (let i = 1; i < 1000; i++) stream.push(0, token(i));
    for (let i = 0; i < 400; i++) stream.push(1, token(i, i === 399 ? "stop" : undefined));
    expect(counts).toMatchObject({ streams: 1, behind: 1400 });
    await until(() => counts.behind === 0);
    expect(await kept()).toBe(1000);
    expect(await kept(1)).toBe(400);
    const { streams } = await journal.read();
    expect(streams[0]?.drawn.get(0)?.map(({ token: id }) => id)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
    expect(state.writes).toBeLessThan(12);
    stream.close();
    await until(async () => (await journal.read()).streams.length === 0);
    expect(counts).toEqual({ streams: 0, behind: 0, failures: 0, unjournalled: 0 });
  });

  test("a journal that is down, or does not answer, holds nothing up and has everything later", async () => {
    const { stream, counts, state, kept } = setUp();
    await stream.open("{}");
    state.down = true;
    for (let i = 0; i < 100; i++) stream.push(0, token(i));
    await until(() => counts.failures >= 3);
    expect(await kept()).toBe(0);
    const held = Promise.withResolvers<void>();
    state.hold = held.promise;
    state.down = false;
    for (let i = 100; i < 200; i++) stream.push(0, token(i));
    await sleep(20);
    expect(counts.behind).toBe(200);
    held.resolve();
    await until(() => counts.behind === 0);
    expect(await kept()).toBe(200);
  });

  test("an opening that is refused is said, and nothing more of it is written", async () => {
    const { stream, counts, state } = setUp();
    state.down = true;
    await expect(stream.open("{}")).rejects.toMatchObject({ code: "E_CONTROL" });
    stream.push(0, token(1));
    await sleep(20);
    expect(state.writes).toBe(1);
    expect(counts).toEqual({ streams: 0, behind: 0, failures: 1, unjournalled: 0 });
  });

  test("a stream that is closed while it is being opened is not there afterwards, also where closing fails at first", async () => {
    const { stream, state, journal, counts } = setUp();
    const held = Promise.withResolvers<void>();
    state.hold = held.promise;
    const opened = stream.open("{}");
    stream.close();
    held.resolve();
    await opened;
    state.down = true;
    await until(() => counts.failures > 0);
    expect((await journal.read()).streams).toHaveLength(1);
    state.down = false;
    await until(async () => (await journal.read()).streams.length === 0);
  });

  test("an inherited stream is opened however long it takes; what others kept goes when its own part says as much", async () => {
    const { stream, state, kept, counts } = setUp();
    const retired: number[] = [];
    state.down = true;
    stream.when(3, async () => {
      if (retired.push(await kept()) === 1) throw new ClawError("E_CONTROL", "Once more.");
    });
    const adopted = stream.adopt("{}");
    stream.push(0, token(1));
    await until(() => counts.failures >= 3);
    state.down = false;
    await adopted;
    await until(async () => (await kept()) === 1);
    await sleep(20);
    expect(retired).toEqual([]);
    stream.push(0, token(2));
    stream.push(1, token(1));
    await until(() => retired.length === 2);
    expect(retired).toEqual([2, 2]);
    stream.push(0, token(3));
    await until(async () => (await kept()) === 3);
    expect(retired).toHaveLength(2);
  });
});

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const tokens = fc.array(fc.nat(0x7fffffff), { minLength: 1, maxLength: 20 });
const opening: fc.Arbitrary<Opening> = fc.record({
  order: fc.record({
    kind: fc.constantFrom("chat" as const, "completion" as const),
    head: fc.record({
      id: fc.string(),
      created: fc.nat(),
      model: fc.string(),
      fingerprint: fc.string(),
      seed: fc.maxSafeNat(),
      date: optional(fc.string()),
    }),
    prompts: fc.array(
      fc.record({ tokens: tokens.map((list) => Int32Array.from(list)), maxTokens: fc.integer({ min: 1 }) }),
      { minLength: 1, maxLength: 3 },
    ),
    choices: fc.integer({ min: 1, max: 16 }),
    answer: fc.record({
      sampling: fc.record({
        ...{ temperature: number, topP: number, minP: number, repetitionPenalty: number },
        ...{ topK: fc.nat(), repetitionWindow: fc.nat(), seed: fc.maxSafeNat(), choice: fc.constant(0) },
        ...{ frequencyPenalty: number, presencePenalty: number },
        logitBias: fc.array(fc.tuple(fc.nat(), number)),
        logprobs: optional(fc.nat(20)),
      }),
      stopStrings: fc.array(fc.string({ unit: "grapheme" })),
      stopTokens: fc.array(fc.nat()),
      ignoreEnd: fc.boolean(),
      adapter: optional(fc.string()),
    }),
    includeUsage: fc.boolean(),
    priority: fc.integer(),
  }),
  root: optional(fc.string()),
  request: fc.string({ maxLength: 128 }),
  tenant: fc.string({ maxLength: 64 }),
  identity: optional(
    fc.record({
      tenant: fc.string(),
      revocationIds: fc.array(fc.string()),
      meters: fc.array(
        fc.record({
          block: fc.nat(),
          counts: fc.constantFrom("tokens" as const, "requests" as const),
          limit: fc.nat(),
          seconds: optional(fc.nat()),
        }),
      ),
    }),
  ),
  records: optional(fc.array(fc.constantFrom("ab".repeat(32), "09".repeat(32)))),
  openedAt: fc.nat(),
  timeoutMs: fc.integer({ min: 1 }),
});

test("an opening is read as it was written, whatever is in it", () => {
  fc.assert(
    fc.property(opening, (given) => {
      expect(readOpening(writeOpening(given))).toEqual(given);
    }),
    { seed: 41, numRuns: 300 },
  );
});

test("what is no opening is not taken for one", () => {
  const sampling = { ...defaultSampling };
  const plain = JSON.parse(
    writeOpening({
      order: {
        kind: "chat",
        head: { id: "a", created: 1, model: "m", fingerprint: "f", seed: 1, date: undefined },
        prompts: [{ tokens: Int32Array.of(1), maxTokens: 1 }],
        choices: 1,
        answer: { sampling, stopStrings: [], stopTokens: [], ignoreEnd: false, adapter: undefined },
        includeUsage: false,
        priority: 0,
      },
      ...{ root: undefined, request: "r", tenant: "t", identity: undefined, records: undefined },
      ...{ openedAt: 1, timeoutMs: 1 },
    }),
  ) as { order: object };
  expect(readOpening(JSON.stringify(plain))).toBeDefined();
  const wrong = [
    { ...plain, v: 2 },
    { ...plain, more: 1 },
    { ...plain, openedAt: "1" },
    { ...plain, order: { ...plain.order, prompts: [] } },
    { ...plain, order: { ...plain.order, prompts: [{ tokens: [-1], maxTokens: 1 }] } },
    { ...plain, order: { ...plain.order, kind: "other" } },
    { ...plain, order: { ...plain.order, choices: 1000 } },
  ];
  for (const each of [...wrong.map((value) => JSON.stringify(value)), "", "{", "null", "[]"]) {
    expect(readOpening(each), each.slice(0, 200)).toBeUndefined();
  }
});
