/** Who is served when: priorities, fair shares, deadlines, limits changed while requests run. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClawError } from "../../src/base/mod.ts";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type EngineOptions,
  type GenerationRequest,
  type Runtime,
  type StepRecord,
} from "../../src/engine/mod.ts";
import { type Device, KV_PAGE_TOKENS } from "../../src/kernels/mod.ts";
import { nativeDevices, reference, type TinyModel, tinyModel } from "./tiny.ts";

const BATCH = 4;
const CONTEXT = 160;
const PAGES = 16;

let tiny: TinyModel;
let device: Device;
let runtime: Runtime;

beforeAll(async () => {
  tiny = tinyModel(2);
  device = (nativeDevices.at(-1) ?? reference).open();
  const kvBytes = PAGES * 3 * 2 * 16 * 2 * 2 * KV_PAGE_TOKENS;
  const options = { format: "i8", context: CONTEXT, batch: 2, batchMax: BATCH, rows: 32 } as const;
  runtime = await createRuntime(device, tiny.model, {
    ...options,
    kvBytes: kvBytes / 2,
    kvBytesMax: kvBytes,
  });
});

afterAll(() => {
  device.close();
  tiny.remove();
});

function newEngine(options: Partial<EngineOptions> = {}): Engine {
  return new Engine({ ...runtime, vocabulary: 512, batch: BATCH, pages: PAGES, clock: () => 0, ...options });
}

const good: GenerationRequest = {
  prompt: Int32Array.from([1, 2, 3]),
  maxTokens: 4,
  sampling: { ...defaultSampling, temperature: 0 },
  stopTokens: [],
};

interface Outcome {
  readonly id: number;
  readonly tokens: number[];
  finished: boolean;
  error: ClawError | undefined;
}

function submit(engine: Engine, change: Partial<GenerationRequest> = {}): Outcome {
  const tokens: number[] = [];
  const id = engine.submit(
    { ...good, ...change },
    {
      token: (event) => {
        tokens.push(event.token);
        outcome.finished = event.finish !== undefined;
      },
      failed: (error) => {
        outcome.error = error;
      },
    },
  );
  const outcome: Outcome = { id, tokens, finished: false, error: undefined };
  return outcome;
}

function prompt(length: number, seed: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * 31 + seed * 17 + 1) % 512);
}

function recordSteps(engine: Engine): StepRecord[] {
  const records: StepRecord[] = [];
  engine.observe({ stepped: (record) => records.push({ ...record }) });
  return records;
}

async function finish(engine: Engine): Promise<void> {
  while (await engine.step());
}

describe("the batch", () => {
  test("a finished sequence's place is taken in the very next step", async () => {
    const engine = newEngine({ batch: 2 });
    const records = recordSteps(engine);
    for (let i = 0; i < 6; i++) submit(engine, { maxTokens: 2 + i });
    await finish(engine);
    const busy = records.filter(({ waiting }) => waiting > 0);
    expect(busy.length).toBeGreaterThan(5);
    for (const { drawn } of busy) expect(drawn).toBe(2);
  });

  test("grows and shrinks while requests run, up to what was prepared", async () => {
    const engine = newEngine({ batch: 1 });
    const records = recordSteps(engine);
    const outcomes = Array.from({ length: 6 }, () => submit(engine, { prompt: prompt(2, 1), maxTokens: 12 }));
    for (let i = 0; i < 3; i++) await engine.step();
    engine.configure({ batch: BATCH });
    await engine.step();
    engine.configure({ batch: 2 });
    await finish(engine);
    expect(records.slice(0, 5).map(({ drawn }) => drawn)).toEqual([1, 1, 1, BATCH, 2]);
    expect(outcomes.every(({ finished, error }) => finished && error === undefined)).toBe(true);
    expect(() => engine.configure({ batch: BATCH + 1 })).toThrow("restart");
    expect(() => engine.configure({ batch: 0 })).toThrow(expect.objectContaining({ code: "E_PARAMETER" }));
  });
});

describe("the KV cache", () => {
  test("shrinks under load without dropping a request, and grows again", async () => {
    const engine = newEngine();
    const records = recordSteps(engine);
    const long = { prompt: prompt(100, 1), maxTokens: 40 };
    const outcomes = [1, 2, 3].map((seed) => submit(engine, { ...long, prompt: prompt(100, seed) }));
    for (let i = 0; i < 15; i++) await engine.step();
    engine.configure({ pages: 2 });
    await engine.step();
    // Each of them needs five pages, so there are five until the last has ended.
    expect(records.at(-1)?.pagesLimit).toBe(5);
    expect(engine.load.running).toBe(1);
    await finish(engine);
    expect(outcomes.every(({ finished }) => finished)).toBe(true);
    const short = submit(engine);
    await finish(engine);
    expect(short.finished).toBe(true);
    expect(records.at(-1)?.pagesLimit).toBe(2);
    expect(() => submit(engine, long)).toThrow(expect.objectContaining({ code: "E_CONTEXT" }));
    engine.configure({ pages: PAGES });
    const again = submit(engine, long);
    await finish(engine);
    expect(again.tokens).toEqual(outcomes[0]?.tokens);
    expect(() => engine.configure({ pages: PAGES + 1 })).toThrow("restart");
    expect(engine.load.pagesFree).toBe(PAGES);
  });

  test("of one tenant is not seen by another", async () => {
    const engine = newEngine();
    const hits: number[] = [];
    engine.observe({ ended: ({ prefixHitTokens }) => hits.push(prefixHitTokens) });
    for (const tenant of ["a", "a", "b"]) {
      submit(engine, { prompt: prompt(100, 1), maxTokens: 40, tenant });
      await finish(engine);
    }
    // Three full pages, and a copy of the fourth, which the first answer had filled.
    expect(hits).toEqual([0, 99, 0]);
  });

  test("shares what a running request has computed", async () => {
    const engine = newEngine();
    const records = recordSteps(engine);
    submit(engine, { prompt: prompt(100, 1), maxTokens: 20 });
    for (let i = 0; i < 6; i++) await engine.step();
    submit(engine, { prompt: prompt(100, 1), maxTokens: 20 });
    await engine.step();
    // Three full pages are one and the same.
    expect(records.at(-1)).toMatchObject({ pagesUsed: 5, prefixHitTokens: 96, running: 2 });
  });
});

describe("priorities and shares", () => {
  test("the higher priority goes first, and takes the place of a lower one", async () => {
    const engine = newEngine({ batch: 1 });
    const order: number[] = [];
    engine.observe({ ended: ({ id }) => order.push(id) });
    const low = submit(engine, { maxTokens: 9 });
    await engine.step();
    const middle = submit(engine, { priority: 1 });
    const high = submit(engine, { priority: 2 });
    await finish(engine);
    expect(order).toEqual([high.id, middle.id, low.id]);
    expect(low.tokens.slice(0, 4)).toEqual(high.tokens);
  });

  test("a tenant with many requests does not push aside one with few", async () => {
    const engine = newEngine({ batch: 2 });
    const order: string[] = [];
    const tenants = new Map<number, string>();
    engine.observe({ ended: ({ id }) => order.push(tenants.get(id) ?? "") });
    for (let i = 0; i < 40; i++)
      tenants.set(submit(engine, { tenant: "many", prompt: prompt(9, i) }).id, "many");
    for (let i = 0; i < 10; i++)
      tenants.set(submit(engine, { tenant: "few", prompt: prompt(9, i) }).id, "few");
    await finish(engine);
    const first = order.slice(0, 20).filter((tenant) => tenant === "few").length;
    expect(first).toBeGreaterThanOrEqual(8);
    expect(order).toHaveLength(50);
  });
});

describe("requests end with a code", () => {
  test("after their deadline, running or waiting: E_DEADLINE", async () => {
    let now = 0;
    const engine = newEngine({ batch: 1, clock: () => now });
    const running = submit(engine, { maxTokens: 100, deadlineMs: 50 });
    const waiting = submit(engine, { maxTokens: 3, deadlineMs: 40 });
    const patient = submit(engine, { maxTokens: 3 });
    for (let i = 0; i < 10; i++) await engine.step();
    now = 45;
    await engine.step();
    now = 60;
    await finish(engine);
    expect(running.error).toMatchObject({ code: "E_DEADLINE" });
    expect(running.tokens).toHaveLength(11);
    expect(waiting.error).toMatchObject({ code: "E_DEADLINE" });
    expect(waiting.tokens).toHaveLength(0);
    expect(patient.finished).toBe(true);
    expect(engine.load).toEqual({ running: 0, waiting: 0, pagesFree: PAGES });
  });

  test("when the queue is full: E_OVERLOADED, with when to come back", async () => {
    let now = 0;
    const engine = newEngine({ batch: 1, queue: 20, clock: () => now });
    for (let i = 0; i < 20; i++) submit(engine);
    for (let i = 0; i < 40; i++, now += 2000) await engine.step();
    while (engine.load.waiting < 20) submit(engine);
    const attempt = (): unknown => submit(engine);
    expect(attempt).toThrow(expect.objectContaining({ code: "E_OVERLOADED" }));
    try {
      attempt();
    } catch (error) {
      const { retryAfterSeconds } = error as ClawError;
      expect(retryAfterSeconds).toBeGreaterThan(2);
      expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    }
  });
});

test("an answer goes on where another engine has left it", async () => {
  const engine = newEngine();
  const sampling = { ...defaultSampling, seed: 5, frequencyPenalty: 0.5, repetitionPenalty: 1.3 };
  const request = { prompt: prompt(50, 3), maxTokens: 40, sampling };
  const whole = submit(engine, request);
  await finish(engine);
  for (const count of [1, 17, 39]) {
    const other = newEngine();
    const outcome = submit(other, { ...request, drawn: Int32Array.from(whole.tokens.slice(0, count)) });
    await finish(other);
    expect(outcome.tokens).toEqual(whole.tokens.slice(count));
  }
});
