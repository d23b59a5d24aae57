/** Drawing tokens leaves next to nothing to collect, so that the engine's thread is seldom held up. */

import { PerformanceObserver } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { defaultSampling, Sampler } from "../../src/engine/mod.ts";
import { Generator } from "../../src/model/mod.ts";

const VOCABULARY = 16_000;
/** Until every loop has been compiled for good. */
const WARM_UP = 100;
const DRAWS = 300;
/** Where floats cross calls, a draw leaves a megabyte or more, and so many draws take dozens of collections. */
const COLLECTIONS_MAX = 3;

function drawMany(draws: number): number {
  const generator = new Generator(5, 1);
  const logits = Float32Array.from({ length: VOCABULARY }, () => 8 * generator.uniform());
  const sampler = new Sampler(VOCABULARY);
  const sampling = { ...defaultSampling, minP: 0.0001, logprobs: 0 };
  const tokens = new Int32Array(draws + 1);
  for (let length = 1; length <= draws; length++) {
    tokens[length] = sampler.draw(logits, { tokens, length, promptLength: 1 }, sampling).token;
  }
  return new Set(tokens).size;
}

test("drawing over a whole vocabulary, with log-probabilities, makes no garbage to speak of", async () => {
  drawMany(WARM_UP);
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  onTestFinished(() => observer.disconnect());
  expect(drawMany(DRAWS)).toBeGreaterThan(DRAWS / 10);
  await setImmediate();
  collections += observer.takeRecords().length;
  expect(collections).toBeLessThanOrEqual(COLLECTIONS_MAX);
});
