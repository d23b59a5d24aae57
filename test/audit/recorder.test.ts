import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { PROGRESS_TOKENS, UNCOVERED_TOKENS_MAX } from "../../src/audit/limits.ts";
import { Recorder } from "../../src/audit/mod.ts";
import { requestOf } from "../../src/audit/statement.ts";
import { Timeline } from "../../src/audit/timeline.ts";
import { fromHex, leafHash, toHex } from "../../src/crypto/mod.ts";
import type { TokenEvent, TokenGenerator } from "../../src/engine/mod.ts";
import { commitment, encodeEntry, RunningHash } from "../../src/records/mod.ts";
import { computes, counting, owner, requestFor, SlowStore } from "./streams.ts";

function recorderOf(store: SlowStore): Recorder {
  let time = 1_764_000_000_000;
  const clock = (): number => time++;
  return new Recorder({
    store,
    timeline: new Timeline({ now: clock, clock }),
    random: randomBytes,
    computes,
  });
}

/** Lets everything that can go on go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate();
}

/** Reads a stream to its end, or to `leaveAfter` tokens; what it saw, and how it failed. */
class Reader {
  readonly tokens: number[] = [];
  done = false;
  error: unknown;
  readonly #stream: AsyncIterator<TokenEvent>;

  constructor(stream: AsyncIterator<TokenEvent>, onToken: (count: number) => void) {
    this.#stream = stream;
    void this.#read(onToken).catch((error) => {
      this.error = error;
    });
  }

  async #read(onToken: (count: number) => void): Promise<void> {
    for (;;) {
      const { done, value } = await this.#stream.next();
      if (done) break;
      this.tokens.push((value as TokenEvent).token);
      onToken(this.tokens.length);
    }
    this.done = true;
  }

  leave(): void {
    void this.#stream.return?.();
  }
}

/** The entries of the only stream: a chain, of which each says what was drawn so far. */
function checkEntries(store: SlowStore, drawn: readonly number[]): void {
  const { entries, parts } = store;
  const [open, ...rest] = entries;
  if (open === undefined) return;
  if (open.kind !== "open") throw new Error("The first entry opens no stream.");
  const asked = parts.get(`${open.stream}.open`) as
    | { salt: string; outputSalt: string; prompt: number[] }
    | undefined;
  if (asked === undefined) return; // the vault failed, and nothing was delivered
  const bytes = (digits: string): Uint8Array => fromHex(digits) ?? new Uint8Array();
  expect(open.prompt).toEqual({ commitment: toHex(commitment(bytes(asked.salt), asked.prompt)), tokens: 3 });
  const running = new RunningHash(bytes(asked.outputSalt));
  let previous = open as (typeof entries)[number];
  for (const entry of rest) {
    if (entry.kind === "open") throw new Error("A stream is opened twice.");
    while (running.count < entry.tokens) running.push(drawn[running.count] ?? -1);
    expect(entry.running).toBe(toHex(running.value));
    expect(entry.previous).toBe(toHex(leafHash(encodeEntry(previous))));
    expect(entry.time).toBeGreaterThanOrEqual(previous.time);
    previous = entry;
  }
  if (previous.kind === "close") {
    expect(previous.output).toBe(toHex(commitment(bytes(asked.outputSalt), drawn.slice(0, previous.tokens))));
    expect(requestOf(previous, asked.prompt)).toEqual(requestFor(previous.sampling.max_tokens));
  }
}

type Move = "entry" | "part" | "settle" | "leave" | "fail";

test("whatever the store does, at most 64 delivered tokens lack a durable entry", async () => {
  const seen = { waits: 0, left: 0, failed: 0, whole: 0, most: 0 };
  const moves = fc.array(
    fc.oneof(
      { weight: 30, arbitrary: fc.constantFrom<Move>("entry", "settle") },
      { weight: 4, arbitrary: fc.constant<Move>("part") },
      { weight: 2, arbitrary: fc.constantFrom<Move>("leave", "fail") },
    ),
    { maxLength: 60 },
  );
  const property = fc.asyncProperty(fc.integer({ min: 1, max: 400 }), moves, async (length, script) => {
    const store = new SlowStore();
    const recording = recorderOf(store).record(counting, owner);
    const closed = recording.closed.then(
      (placed) => ({ placed }),
      (error: unknown) => ({ error }),
    );
    const reader = new Reader(recording.generate(requestFor(length))[Symbol.asyncIterator](), (count) => {
      expect(store.covered).toBeGreaterThanOrEqual(0);
      expect([...store.parts.keys()].some((name) => name.endsWith(".open"))).toBe(true);
      expect(count - store.covered).toBeLessThanOrEqual(UNCOVERED_TOKENS_MAX);
      seen.most = Math.max(seen.most, count - store.covered);
    });
    const did = new Set<Move>();
    for (const move of script) {
      if (move === "settle") await settle();
      else if (move === "leave") reader.leave();
      else if (move === "fail") store.fail();
      else store.advance(move);
      did.add(move);
    }
    await settle();
    if (!reader.done && reader.error === undefined) seen.waits++;
    for (let i = 0; i < 1000 && (store.waiting > 0 || !(reader.done || reader.error)); i++) {
      store.advance("part");
      store.advance("entry");
      await settle();
    }
    const end = await closed;
    checkEntries(
      store,
      Array.from({ length }, (_, i) => 100 + i),
    );
    if ("placed" in end) {
      const last = store.entries.at(-1);
      expect(last?.kind).toBe("close");
      expect(store.entries.length).toBe(end.placed.entry + 1);
      const tokens = last?.kind === "close" ? last.tokens : -1;
      expect(tokens).toBeGreaterThanOrEqual(reader.tokens.length);
      if (did.has("leave")) seen.left++;
      else expect(tokens).toBe(length);
      if (!did.has("leave")) seen.whole++;
    } else {
      expect(did.has("fail")).toBe(true);
      expect(store.entries.some(({ kind }) => kind === "close")).toBe(false);
      seen.failed++;
    }
  });
  // The answer was refused when the close entry was durable already.
  const found: [number, Move[]] = [1, ["entry", "part", "settle", "entry", "fail"]];
  await fc.assert(property, { numRuns: 400, examples: [found] });
  expect(seen.most).toBe(UNCOVERED_TOKENS_MAX);
  expect(seen.waits).toBeGreaterThan(30);
  expect(seen.left).toBeGreaterThan(10);
  expect(seen.failed).toBeGreaterThan(10);
  expect(seen.whole).toBeGreaterThan(50);
}, 60_000);

test("a stream that fails is closed with the error's code, one whose reader leaves while it waits as left", async () => {
  const failing: TokenGenerator = {
    async *generate(request) {
      for await (const event of counting.generate(request)) {
        if (event.token === 100 + PROGRESS_TOKENS) throw new Error("broken");
        yield event;
      }
    },
  };
  const never: TokenGenerator = {
    generate: () => {
      const left = Promise.withResolvers<IteratorResult<TokenEvent>>();
      const end = { done: true, value: undefined } as const;
      const next = (): Promise<IteratorResult<TokenEvent>> => left.promise;
      const leave = async (): Promise<IteratorResult<TokenEvent>> => {
        left.resolve(end);
        return end;
      };
      return { [Symbol.asyncIterator]: () => ({ next, return: leave }) };
    },
  };
  const run = async (generator: TokenGenerator, leave: boolean): Promise<SlowStore> => {
    const store = new SlowStore();
    const recording = recorderOf(store).record(generator, owner);
    const reader = new Reader(
      recording.generate({ ...requestFor(40), maxTokens: 40 })[Symbol.asyncIterator](),
      () => {},
    );
    await settle();
    if (leave) reader.leave();
    for (let i = 0; i < 50; i++) {
      store.advance("part");
      store.advance("entry");
      await settle();
    }
    await recording.closed;
    expect(reader.done).toBe(leave);
    return store;
  };
  const failed = (await run(failing, false)).entries.at(-1);
  expect(failed).toMatchObject({ kind: "close", finish: "error", error: "E_INTERNAL" });
  const left = (await run(never, true)).entries.at(-1);
  expect(left).toMatchObject({ kind: "close", finish: "left", tokens: 0 });
});

test("a clock that is set back moves no time back, and shows", () => {
  let [now, clock] = [5_000_000, 0];
  const timeline = new Timeline({ now: () => now, clock: () => clock }, 6_000_000);
  expect(timeline.stamp()).toEqual({ time: 6_000_000, clock_drift: -1_000_000 });
  now = 6_000_000;
  clock = 10;
  expect(timeline.stamp()).toEqual({ time: 6_000_010 });
  now = 1000;
  clock = 20;
  expect(timeline.stamp()).toEqual({ time: 6_000_020, clock_drift: 1000 - 6_000_020 });
});
