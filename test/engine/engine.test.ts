import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClawError } from "../../src/base/mod.ts";
import {
  createRuntime,
  defaultSampling,
  Engine,
  EngineMetrics,
  type GenerationRequest,
  type Runtime,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import type { Device } from "../../src/kernels/mod.ts";
import { nativeDevices, reference, type TinyModel, tinyModel } from "./tiny.ts";

const BATCH = 6;
const ROWS = 32;
const CONTEXT = 200;

let tiny: TinyModel;
let device: Device;
let runtime: Runtime;

beforeAll(async () => {
  tiny = tinyModel(2);
  device = (nativeDevices.at(-1) ?? reference).open();
  // Pages for about three full sequences, so that requests also wait for memory.
  const kvBytes = 3 * 2 * 16 * 2 * 2 * 32 * 20;
  runtime = await createRuntime(device, tiny.model, {
    format: "i8",
    context: CONTEXT,
    batch: BATCH,
    rows: ROWS,
    kvBytes,
  });
});

afterAll(() => {
  device.close();
  tiny.remove();
});

function newEngine(pages = runtime.pages): Engine {
  return new Engine({ ...runtime, vocabulary: 512, batch: BATCH, pages, clock: () => 0 });
}

interface Outcome {
  readonly events: TokenEvent[];
  error: ClawError | undefined;
}

function submit(
  engine: Engine,
  request: GenerationRequest,
): { readonly id: number; readonly outcome: Outcome } {
  const outcome: Outcome = { events: [], error: undefined };
  const id = engine.submit(request, {
    token: (event) => outcome.events.push(event),
    failed: (error) => {
      outcome.error = error;
    },
  });
  return { id, outcome };
}

async function solo(request: GenerationRequest): Promise<TokenEvent[]> {
  const engine = newEngine();
  const { outcome } = submit(engine, request);
  while (await engine.step());
  return outcome.events;
}

const requests: fc.Arbitrary<GenerationRequest> = fc.record({
  prompt: fc.array(fc.nat(511), { minLength: 1, maxLength: 90 }).map((tokens) => Int32Array.from(tokens)),
  maxTokens: fc.integer({ min: 1, max: 30 }),
  stopTokens: fc.constantFrom([], [7, 300], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
  sampling: fc
    .record({
      temperature: fc.constantFrom(0, 0.7, 1.5),
      topK: fc.constantFrom(0, 5, 50),
      topP: fc.constantFrom(1, 0.9),
      minP: fc.constantFrom(0, 0.05),
      repetitionPenalty: fc.constantFrom(1, 1.3),
      frequencyPenalty: fc.constantFrom(0, 0.5),
      seed: fc.nat(),
      choice: fc.nat(3),
      logprobs: fc.constantFrom(undefined, 0, 3),
    })
    .map((chosen) => ({ ...defaultSampling, ...chosen })),
});

describe("a request's tokens and log-probabilities are those of running alone", () => {
  const seen = { requests: 0, cancelled: 0, together: 0, waited: 0, stopped: 0 };

  interface Arrival {
    readonly request: GenerationRequest;
    readonly atStep: number;
    /** Cancelled this many steps after arriving; never when undefined. */
    readonly cancelAfter: number | undefined;
  }

  const arrivals: fc.Arbitrary<Arrival[]> = fc.array(
    fc.record({
      request: requests,
      atStep: fc.nat(25),
      cancelAfter: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined, freq: 5 }),
    }),
    { minLength: 4, maxLength: 14 },
  );

  async function runAll(all: readonly Arrival[]): Promise<void> {
    const engine = newEngine();
    const running = new Map<Arrival, ReturnType<typeof submit>>();
    for (let step = 0; step < 600; step++) {
      for (const arrival of all.filter(({ atStep }) => atStep === step)) {
        running.set(arrival, submit(engine, arrival.request));
      }
      const leaving = [...running].flatMap(([{ atStep, cancelAfter }, { id }]) =>
        cancelAfter !== undefined && step === atStep + cancelAfter ? [id] : [],
      );
      // Half of them between two steps, half while one runs.
      for (const id of leaving) if (id % 2 === 0) engine.cancel(id);
      if (engine.load.running > 1) seen.together++;
      if (engine.load.waiting > 0) seen.waited++;
      const stepped = engine.step();
      for (const id of leaving) if (id % 2 === 1) engine.cancel(id);
      const worked = await stepped;
      if (!worked && step > 40) break;
    }
    expect(engine.load).toEqual({ running: 0, waiting: 0, pagesFree: runtime.pages });
    for (const [{ request, cancelAfter }, { outcome }] of running) {
      const expected = await solo(request);
      seen.requests++;
      expect(outcome.error).toBeUndefined();
      expect(outcome.events).toEqual(expected.slice(0, outcome.events.length));
      const finished = outcome.events.at(-1)?.finish;
      if (finished === undefined) expect(cancelAfter).toBeDefined();
      if (finished === undefined) seen.cancelled++;
      if (finished === "stop") seen.stopped++;
    }
  }

  test("under random arrivals and cancellations", async () => {
    await fc.assert(fc.asyncProperty(arrivals, runAll), { numRuns: 25, seed: 11 });
    expect(seen.requests).toBeGreaterThan(150);
    expect(seen.cancelled).toBeGreaterThan(10);
    expect(seen.together).toBeGreaterThan(300);
    expect(seen.waited).toBeGreaterThan(30);
    expect(seen.stopped).toBeGreaterThan(5);
  });
});

describe("requests that cannot run are refused with a code", () => {
  const good: GenerationRequest = {
    prompt: Int32Array.from([1, 2, 3]),
    maxTokens: 4,
    sampling: { ...defaultSampling, temperature: 0 },
    stopTokens: [],
  };
  const cases: readonly [string, string, Partial<GenerationRequest>][] = [
    ["an empty prompt", "E_PARAMETER", { prompt: new Int32Array(0) }],
    ["a prompt beyond the context", "E_CONTEXT", { prompt: new Int32Array(CONTEXT) }],
    ["no room for an answer", "E_PARAMETER", { maxTokens: 0 }],
    ["a token outside the vocabulary", "E_PARAMETER", { prompt: Int32Array.from([512]) }],
    ["a negative temperature", "E_PARAMETER", { sampling: { ...defaultSampling, temperature: -1 } }],
    ["a bias for no token", "E_PARAMETER", { sampling: { ...defaultSampling, logitBias: [[9999, 1]] } }],
    ["a stop token outside the vocabulary", "E_PARAMETER", { stopTokens: [-1] }],
  ];
  test.each(cases)("%s: %s", (_, code, change) => {
    const attempt = (): unknown => submit(newEngine(), { ...good, ...change });
    expect(attempt).toThrow(expect.objectContaining({ code }));
  });

  test("more pages than the cache has: E_CONTEXT", () => {
    const request = { ...good, prompt: new Int32Array(100).fill(1) };
    expect(() => submit(newEngine(2), request)).toThrow(expect.objectContaining({ code: "E_CONTEXT" }));
  });

  test("a full queue: E_OVERLOADED", () => {
    const engine = newEngine();
    for (let i = 0; i < 1024; i++) submit(engine, good);
    expect(() => submit(engine, good)).toThrow(expect.objectContaining({ code: "E_OVERLOADED" }));
  });
});

test("the last one cancelled between two steps: its pages are not reported as used", async () => {
  const engine = newEngine();
  const metrics = new EngineMetrics();
  engine.observe(metrics);
  const request = { prompt: Int32Array.of(1, 2, 3), maxTokens: 9, sampling: defaultSampling, stopTokens: [] };
  const { id } = submit(engine, request);
  await engine.step();
  expect(metrics.read().gauges).toMatchObject({ running: 1, pagesUsed: 1 });
  engine.cancel(id);
  expect(await engine.step()).toBe(false);
  expect(metrics.read().gauges).toMatchObject({ running: 0, pagesUsed: 0 });
});
