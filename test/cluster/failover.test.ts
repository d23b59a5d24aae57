/**
 * What a lost rank costs: nothing but time. Requests whose runtimes are lost and replaced at random, also one after another and
 * while prompts are read, end with the tokens and log-probabilities of running alone on one device that nobody touched.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type GenerationRequest,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import { MemoryPageStore } from "../../src/engine/page-store.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { native, openSmallDevice } from "./devices.ts";
import { SIZES, seen, Trial } from "./trial.ts";

let tiny: TinyModel;

beforeAll(() => {
  tiny = tinyModel(5);
});

afterAll(() => tiny.remove());

function randomRequests(random: Random, count: number): GenerationRequest[] {
  const { vocabulary } = tiny.model.description;
  const tokens = (length: number): Int32Array =>
    Int32Array.from({ length }, () => random.between(0, vocabulary - 1));
  const beginning = tokens(70);
  return Array.from({ length: count }, () => ({
    // Some begin alike, and find each other's pages.
    prompt: random.chance(2) ? tokens(random.between(1, 90)) : beginning.slice(0, random.between(33, 70)),
    maxTokens: random.between(1, 40),
    sampling: {
      ...defaultSampling,
      temperature: random.pick([0, 0.8, 1.3]),
      seed: random.between(0, 1000),
      frequencyPenalty: random.pick([0, 0.5]),
      logprobs: random.pick([undefined, 2]),
    },
    stopTokens: [],
  }));
}

/** What each request answers when it runs alone. */
async function alone(requests: readonly GenerationRequest[]): Promise<TokenEvent[][]> {
  const device = openSmallDevice();
  const runtime = await createRuntime(device, tiny.model, SIZES);
  const { vocabulary } = tiny.model.description;
  const answers: TokenEvent[][] = [];
  for (const request of requests) {
    const engine = new Engine({ ...runtime, vocabulary, batch: 1, clock: () => 0 });
    const events: TokenEvent[] = [];
    engine.submit(request, {
      token: (event) => events.push(event),
      failed: (error) => expect.fail(error.message),
    });
    while (await engine.step());
    answers.push(events);
  }
  device.close();
  return answers;
}

async function survive(seed: number): Promise<void> {
  const random = new Random(seed);
  const requests = randomRequests(random, 6);
  const [late] = randomRequests(random, 1);
  const expected = await alone([...requests, late as GenerationRequest]);
  const store = random.chance(3) ? undefined : new MemoryPageStore(random.pick([2 ** 30, 20_000]));
  const trial = new Trial(tiny.model, openSmallDevice, { random, store });
  await trial.start();
  try {
    await trial.ask(requests);
    await trial.loseIdle();
    await trial.ask([late as GenerationRequest]);
    for (const [i, { events, cancelled }] of trial.asked.entries()) {
      const whole = expected[i] as TokenEvent[];
      expect(events).toEqual(cancelled ? whole.slice(0, events.length) : whole);
    }
    const { running, waiting, pagesFree, pages } = trial.load;
    expect({ running, waiting, pagesFree }).toEqual({ running: 0, waiting: 0, pagesFree: pages });
  } finally {
    await trial.end();
  }
}

describe("runtimes that are lost and replaced", () => {
  test("change no token and no log-probability of any request", async () => {
    const property = fc.asyncProperty(fc.nat(), survive);
    await fc.assert(property, { numRuns: native ? 8 : 2, seed: 11, endOnFailure: true });
  });

  test("were lost in every way", () => {
    const least = native ? 1 : 0.1;
    expect(seen.requests).toBeGreaterThanOrEqual(56 * least);
    expect(seen.losses).toBeGreaterThan(80 * least);
    expect(seen.inStep).toBeGreaterThan(50 * least);
    expect(seen.betweenRanks).toBeGreaterThan(10 * least);
    expect(seen.prefilling).toBeGreaterThan(20 * least);
    expect(seen.inARow).toBeGreaterThan(5 * least);
    expect(seen.openFailures).toBeGreaterThan(20 * least);
    expect(seen.changes).toBeGreaterThan(15 * least);
    expect(seen.copied).toBeGreaterThan(100 * least);
    expect(seen.restored).toBeGreaterThan(500 * least);
    expect(seen.cancelled).toBeGreaterThan(3 * least);
  });
});
