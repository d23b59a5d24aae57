import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import {
  EngineMetrics,
  type MetricsSnapshot,
  type RequestRecord,
  type StepRecord,
} from "../../src/engine/mod.ts";
import { watchPauses } from "../../src/engine/thread-pauses.ts";

const step: StepRecord = {
  step: 0,
  rows: 12,
  prefillTokens: 9,
  decodeTokens: 3,
  sequences: 4,
  running: 4,
  batch: 8,
  waiting: 2,
  contendedTaken: 4,
  contendedPlaces: 8,
  pagesUsed: 10,
  pagesCached: 5,
  pagesFree: 1,
  pagesLimit: 16,
  prefixLookupTokens: 20,
  prefixHitTokens: 16,
  swappedOut: 1,
  recomputed: 2,
  swappedIn: 3,
  rankExchanges: 2,
  rankMessages: 5,
  rankBytes: 640,
  planMs: 0.02,
  executeMs: 40,
  sampleMs: 2,
  deliverMs: 0.5,
  drawn: 0,
  drawnIds: new Int32Array(0),
  drawnTokens: new Int32Array(0),
};

const request: RequestRecord = {
  id: 1,
  promptTokens: 5,
  generatedTokens: 1,
  prefixHitTokens: 0,
  preemptions: 0,
  queuedAt: 1000,
  admittedAt: 1030,
  firstTokenAt: 1200,
  previousTokenAt: undefined,
  lastTokenAt: 1200,
};

test("what one side observes, another reads through the same memory", () => {
  const writer = new EngineMetrics();
  const reader = new EngineMetrics(writer.memory);
  writer.stepped(step);
  writer.stepped({ ...step, running: 7 });
  writer.token(request);
  const second = { ...request, generatedTokens: 2, previousTokenAt: 1200, lastTokenAt: 1260 };
  writer.token(second);
  writer.ended(second, "length");
  const { gauges, counters, histograms }: MetricsSnapshot = reader.read();
  expect(gauges).toMatchObject({ running: 7, waiting: 2, pagesUsed: 10, pagesLimit: 16 });
  expect(counters).toMatchObject({
    steps: 2,
    rows: 24,
    takenPlaces: 8,
    places: 16,
    contendedTaken: 8,
    contendedPlaces: 16,
    prefixHitTokens: 32,
    recomputed: 4,
    rankExchanges: 4,
    rankMessages: 10,
    rankBytes: 1280,
    length: 1,
    stop: 0,
  });
  expect(histograms.firstTokenSeconds.sum).toBeCloseTo(0.2, 12);
  expect(histograms.queueSeconds.sum).toBeCloseTo(0.03, 12);
  expect(histograms.requestSeconds.sum).toBeCloseTo(0.26, 12);
  const { bounds, counts } = histograms.interTokenSeconds;
  expect(counts).toHaveLength(bounds.length + 1);
  expect(counts[bounds.indexOf(0.075)]).toBe(1);
  expect(counts.reduce((a, b) => a + b)).toBe(1);
  expect(histograms.executeSeconds.counts.reduce((a, b) => a + b)).toBe(2);
});

test("what is beyond every bound is counted in the last bucket", () => {
  const metrics = new EngineMetrics();
  metrics.stepped({ ...step, executeMs: 1e9 });
  expect(metrics.read().histograms.executeSeconds.counts.at(-1)).toBe(1);
});

test("garbage collections and delays of a thread are told", async () => {
  const metrics = new EngineMetrics();
  watchPauses(metrics);
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const deadline = Date.now() + 10_000;
  const collections = (): number =>
    metrics.read().histograms.collectSeconds.counts.reduce((sum, count) => sum + count, 0);
  while (collections() === 0 && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(collections()).toBeGreaterThan(0);
  expect(metrics.read().histograms.collectSeconds.sum).toBeGreaterThan(0);
  metrics.delayed({ loopDelayP50: 1, loopDelayP99: 2, loopDelayMax: 3 });
  expect(metrics.read().delays).toEqual({ loopDelayP50: 1, loopDelayP99: 2, loopDelayMax: 3 });
});
