/**
 * Steps of several stages at once: while one is in a stage, the next one, of other sequences, is in the stage before. Under random
 * arrivals, cancellations and preemptions every request answers as it does alone.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { startLocal } from "../../src/cluster/mod.ts";
import { EngineLoop } from "../../src/engine/loop.ts";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type GenerationRequest,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import { proportionalPlacement } from "../../src/model/mod.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { ofCases } from "../long.ts";
import { native, openSmallDevice } from "./devices.ts";
import { randomPlacement } from "./placements.ts";

const CASES = native ? ofCases(40, 0.5) : 4;
const SIZES = { format: "i8", context: 96, batch: 6, rows: 24 } as const;

const seen = { beside: 0, preempted: 0, cancelled: 0, hits: 0, changed: 0, requests: 0 };

let tiny: TinyModel;

beforeAll(() => {
  tiny = tinyModel(6);
});

afterAll(() => tiny.remove());

function randomRequest(random: Random, beginning: Int32Array): GenerationRequest {
  const { vocabulary } = tiny.model.description;
  const tokens = Int32Array.from({ length: random.between(1, 50) }, () => random.between(0, vocabulary - 1));
  const prompt = random.chance(3) ? beginning.slice(0, random.between(17, 40)) : tokens;
  const temperature = random.pick([0, 0.8]);
  const sampling = { ...defaultSampling, temperature, seed: random.between(0, 1000), logprobs: 1 };
  const priority = random.between(0, 2);
  return { prompt, maxTokens: random.between(1, 30), sampling, stopTokens: [], priority };
}

async function alone(request: GenerationRequest): Promise<TokenEvent[]> {
  const device = openSmallDevice();
  const runtime = await createRuntime(device, tiny.model, { ...SIZES, batch: 1 });
  const engine = new Engine({
    ...runtime,
    vocabulary: tiny.model.description.vocabulary,
    batch: 1,
    clock: () => 0,
  });
  const events: TokenEvent[] = [];
  engine.submit(request, {
    token: (event) => events.push(event),
    failed: (error) => expect.fail(error.message),
  });
  while (await engine.step());
  device.close();
  return events;
}

interface Asked {
  readonly request: GenerationRequest;
  readonly events: TokenEvent[];
  readonly id: number;
  cancelled: boolean;
}

function ask(engine: Engine, request: GenerationRequest): Asked {
  const events: TokenEvent[] = [];
  const failed = (error: Error): void => expect.fail(error.message);
  const id = engine.submit(request, { token: (event) => events.push(event), failed });
  return { request, events, id, cancelled: false };
}

/** Steps until all is answered; meanwhile requests arrive, are cancelled while steps run, and limits change. */
async function drive(engine: Engine, waiting: GenerationRequest[], random: Random): Promise<Asked[]> {
  const asked: Asked[] = [];
  for (let more = true; more || waiting.length > 0; ) {
    while (waiting.length > 0 && random.chance(2))
      asked.push(ask(engine, waiting.pop() as GenerationRequest));
    const step = engine.step();
    const some = random.pick(asked.length > 0 ? asked : [undefined]);
    if (some !== undefined && random.chance(12) && some.events.at(-1)?.finish === undefined) {
      await new Promise(setImmediate);
      engine.cancel(some.id);
      some.cancelled = true;
    }
    if (random.chance(20)) {
      engine.configure({ batch: random.between(1, 6) });
      seen.changed++;
    }
    more = await step;
  }
  await engine.settle();
  return asked;
}

async function compare(seed: number): Promise<void> {
  const random = new Random(seed);
  const { description } = tiny.model;
  let placement = randomPlacement(description, random);
  while (placement.stages.length < 2) placement = randomPlacement(description, random);
  const laneSequences = random.pick([1, 1, 2]);
  const runtime = await startLocal(tiny.model, {
    ...SIZES,
    placement,
    laneSequences,
    openDevice: openSmallDevice,
  });
  try {
    const pages = random.pick([6, 8, 12, runtime.pages]);
    const clock = (): number => 0;
    const engine = new Engine({ ...runtime, pages, vocabulary: description.vocabulary, batch: 6, clock });
    engine.observe({
      stepped: ({ recomputed, prefixHitTokens }) => {
        seen.preempted += recomputed;
        seen.hits += prefixHitTokens;
      },
    });
    const beginning = Int32Array.from({ length: 40 }, () => random.between(0, description.vocabulary - 1));
    const waiting = Array.from({ length: random.between(6, 12) }, () => randomRequest(random, beginning));
    const asked = await drive(engine, waiting, random);
    for (const { request, events, cancelled } of asked) {
      const whole = await alone(request);
      expect(events).toEqual(cancelled ? whole.slice(0, events.length) : whole);
      if (cancelled) seen.cancelled++;
      seen.requests++;
    }
    const { running, pagesFree } = engine.load;
    expect({ running, pagesFree }).toEqual({ running: 0, pagesFree: pages });
    seen.beside += runtime.executable.besideSteps;
  } finally {
    await runtime.close();
  }
}

describe("steps in several stages at once", () => {
  test("change no token of any request", async () => {
    const property = fc.asyncProperty(fc.nat(), compare);
    await fc.assert(property, { numRuns: CASES, seed: 21, endOnFailure: true });
  });

  test("were under way beside each other, and lost pages meanwhile", () => {
    console.info(`lanes: ${JSON.stringify(seen)}`);
    expect(seen.requests).toBeGreaterThanOrEqual(6 * CASES);
    expect(seen.beside).toBeGreaterThan(20 * CASES);
    expect(seen.preempted).toBeGreaterThan(CASES);
    expect(seen.cancelled).toBeGreaterThan(CASES / 4);
    expect(seen.hits).toBeGreaterThan(CASES);
    expect(seen.changed).toBeGreaterThan(CASES / 2);
  });
});

test("whoever waits for steps to end is served, also where they fail and the engine is given up", {
  timeout: 10_000,
}, async () => {
  const { vocabulary } = tiny.model.description;
  const placement = proportionalPlacement(tiny.model.description, {
    stages: [1, tiny.model.description.layers - 1],
    shards: [1],
  });
  const options = { ...SIZES, placement, laneSequences: 1, openDevice: openSmallDevice };
  const runtime = await startLocal(tiny.model, options);
  const engine = new Engine({ ...runtime, vocabulary, batch: 6, clock: () => 0 });
  let failures = 0;
  const failed = async (error: ClawError): Promise<boolean> => {
    failures++;
    engine.failAll(error);
    return false;
  };
  const loop = new EngineLoop(engine, { pause: () => new Promise(setImmediate), failed });
  const codes: string[] = [];
  const served: Promise<unknown>[] = [];
  const prompt = Int32Array.of(1, 2, 3);
  for (let i = 0; i < 4; i++) {
    const token = (): void => {
      // Two steps are under way by then, and one of them after this has ended.
      if (served.length > 0) return;
      served.push(loop.between(() => "served"));
      runtime.executable.lose(new ClawError("E_LINK", "A rank was lost on purpose."));
    };
    const request = { prompt, maxTokens: 20, sampling: defaultSampling, stopTokens: [] };
    engine.submit(request, { token, failed: ({ code }) => codes.push(code) });
  }
  loop.wake();
  while (served.length === 0) await new Promise(setImmediate);
  expect(await Promise.all(served)).toEqual(["served"]);
  expect(failures).toBe(1);
  expect(codes).toEqual(["E_LINK", "E_LINK", "E_LINK", "E_LINK"]);
  expect(runtime.executable.besideSteps).toBeGreaterThan(0);
  await loop.close();
  await runtime.close();
});
