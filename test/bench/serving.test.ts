import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { complete, openTarget } from "../../src/bench/serving/completion.ts";
import { loadFigures, type RequestTimes, spread } from "../../src/bench/serving/record.ts";
import type { RecordingReport } from "../../src/bench/serving/report.ts";
import { occupancy } from "../../src/bench/serving/watch.ts";
import { planWorkload } from "../../src/bench/serving/workload.ts";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";
import { peerInstalled } from "../peer.ts";

const folder = makeFolder();
const model = makeTinyModel(folder);
const env = { XDG_CACHE_HOME: join(folder, "cache") };
const peer = peerInstalled();
const noPeer = peer ? "" : " (skipped: no peer: npm ci --prefix tools/peer)";

const workload = { requests: 500, seed: 3, promptTokens: 50, outputTokens: 20, rate: undefined };

describe("a load", () => {
  test("is a function of its seed, with lengths around their means", () => {
    const plans = planWorkload(workload);
    expect(planWorkload(workload)).toEqual(plans);
    expect(planWorkload({ ...workload, seed: 4 })).not.toEqual(plans);
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
    expect(mean(plans.map(({ prompt }) => prompt.length))).toBeCloseTo(50, -1);
    expect(mean(plans.map(({ outputTokens }) => outputTokens))).toBeCloseTo(20, -1);
    const lengths = plans.map(({ prompt }) => prompt.length);
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([20, 80]);
    expect(plans.every(({ arrivalSeconds }) => arrivalSeconds === 0)).toBe(true);
    expect(plans.every(({ prompt }) => prompt.every((id) => id >= 3 && id < 253))).toBe(true);
  });

  test("arrives as a Poisson process where a rate is given", () => {
    const times = planWorkload({ ...workload, requests: 4000, rate: 10 }).map((plan) => plan.arrivalSeconds);
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0));
    const mean = gaps.reduce((a, b) => a + b) / gaps.length;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    expect(gaps.every((gap) => gap >= 0)).toBe(true);
    // Exponential gaps: the deviation is the mean.
    expect(mean).toBeCloseTo(0.1, 2);
    expect(Math.sqrt(variance) / mean).toBeCloseTo(1, 1);
  });
});

test("figures count whole answers and failed ones, and gaps within answers only", () => {
  const request = (sentMs: number, tokenMs: number[], error?: string): RequestTimes => {
    return { promptTokens: 10, outputTokens: tokenMs.length, sentMs, tokenMs, endMs: sentMs + 100, error };
  };
  const figures = loadFigures([request(0, [10, 20, 50]), request(5, [35, 36]), request(0, [1], "gone")], 2);
  expect(figures).toMatchObject({ requests: 3, errors: 1, promptTokens: 20, outputTokens: 5 });
  expect(figures.outputTokensPerSecond).toBe(2.5);
  expect(figures.timeToFirstTokenMs).toEqual({ p50: 10, p90: 30, p99: 30, max: 30 });
  expect(figures.interTokenMs).toEqual({ p50: 10, p90: 30, p99: 30, max: 30 });
  expect(loadFigures([], 1).interTokenMs).toBeNull();
});

test("percentiles are nearest ranks", () => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i);
  expect(spread(values)).toEqual({ p50: 100, p90: 180, p99: 198, max: 200 });
  expect(spread([7])).toEqual({ p50: 7, p90: 7, p99: 7, max: 7 });
  expect(spread([])).toBeNull();
});

test("occupancy counts all places until the last request is sent, then only those that others waited for", () => {
  const begin = { taken: 10, all: 40, contendedTaken: 4, contended: 8 };
  const sent = { taken: 40, all: 80, contendedTaken: 14, contended: 18 };
  const end = { taken: 60, all: 400, contendedTaken: 23, contended: 28 };
  expect(occupancy([{ begin, sent, end }])).toBe((30 + 9) / (40 + 10));
  expect(occupancy([{ begin, sent: begin, end }])).toBe(19 / 20);
  expect(occupancy([{ begin, sent: begin, end: begin }])).toBeNull();
  expect(occupancy([])).toBeNull();
});

describe("an answer that breaks off is an error of that request", () => {
  const cases: readonly [string, string, RegExp][] = [
    ["with an error", 'data: {"error":{"message":"It broke."}}\n\n', /It broke/],
    [
      "short",
      'data: {"choices":[],"usage":{"completion_tokens":1}}\n\ndata: [DONE]\n\n',
      /1 tokens instead of 5/,
    ],
    ["without JSON", "data: {\n\n", /JSON/],
  ];
  test.each(cases)("%s", async (_, body, complaint) => {
    const server = createServer((_request, response) => void response.end(body));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const target = openTarget(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, undefined);
    const plan = { prompt: [3], outputTokens: 5, arrivalSeconds: 0 };
    const { error } = await complete(target, { plan, clock: () => 0 });
    target.agent.destroy();
    expect(error).toMatch(complaint);
  });
});

interface Report {
  readonly ours: number;
  readonly peer: number | null;
  readonly ratio: number | null;
  readonly figures: { readonly outputTokens: number; readonly seconds: number };
  readonly peerFigures: { readonly outputTokens: number } | null;
  readonly occupancy: number;
}

async function measured(args: readonly string[]): Promise<Report> {
  const { status, stdout, stderr } = await claw(["bench", "serve", ...args, "--json"], { env });
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Report;
}

const small = ["--model", model, "--format", "i8", "--batch", "4", "--output-tokens", "10"];

describe("claw bench serve", () => {
  test("measures a server of its own, whose places are taken while requests wait", async () => {
    const report = await measured([...small, "--requests", "200", "--concurrency", "12"]);
    expect(report).toMatchObject({
      peer: null,
      ratio: null,
      batch: 4,
      load: { concurrency: 12, requests: 200 },
      figures: { requests: 200, errors: 0 },
      errors: [],
      memory: { resident: expect.any(Number), highWater: expect.any(Number) },
    });
    const expected = planWorkload({
      ...workload,
      requests: 200,
      seed: 0,
      promptTokens: 40,
      outputTokens: 10,
    });
    const tokens = expected.reduce((sum, { outputTokens }) => sum + outputTokens, 0);
    expect(report.figures.outputTokens).toBe(tokens);
    expect(report.ours).toBeCloseTo(tokens / report.figures.seconds, 6);
    expect(report.occupancy).toBeGreaterThan(0.8);
    expect(report.occupancy).toBeLessThanOrEqual(1);
  });

  test("sends at a rate, and takes about as long as the arrivals", async () => {
    const report = await measured([...small, "--requests", "30", "--rate", "60"]);
    expect(report).toMatchObject({ figures: { requests: 30, errors: 0 }, load: { rate: 60 } });
    expect(report.figures.seconds).toBeGreaterThan(0.2);
  });

  test("sends the same load with the ledger on and off by turns", async () => {
    const flags = ["--scenario", "ledger", "--requests", "40", "--concurrency", "4", "--rounds", "3"];
    const report = (await measured([...small, ...flags])) as unknown as RecordingReport;
    expect(report).toMatchObject({ bench: "serve-ledger", errors: [], load: { requests: 40 } });
    expect(report.offFigures).toMatchObject({ requests: 40, errors: 0 });
    expect(report.figures.outputTokens).toBe(report.offFigures.outputTokens);
    // An open and a close entry of each, and of the request that warmed it up.
    expect(report.entries).toBe(2 * 41);
    const ratios = report.rounds.map(({ on, off }) => on / off).sort((a, b) => a - b);
    expect(ratios).toHaveLength(3);
    expect(report.ratio).toBeCloseTo(ratios[1] ?? 0, 9);
  });

  test("a server that cannot be reached fails every request, and says why", async () => {
    const { stdout } = await claw([
      "bench",
      "serve",
      "--url",
      "http://127.0.0.1:9",
      "--requests",
      "2",
      "--json",
    ]);
    const report = JSON.parse(stdout) as { figures: { errors: number }; errors: string[] };
    expect(report.figures.errors).toBe(2);
    expect(report.errors.join()).toContain("ECONNREFUSED");
  });
});

describe.skipIf(!peer)(`beside llama.cpp${noPeer}`, () => {
  test("both answer the same load", async () => {
    const report = await measured([
      ...small,
      "--requests",
      "12",
      "--concurrency",
      "4",
      "--peer",
      "llama.cpp",
    ]);
    expect(report.peerFigures?.outputTokens).toBe(report.figures.outputTokens);
    expect(report.ratio).toBeCloseTo(report.ours / (report.peer ?? 0), 9);
  });
});

test.each([
  [["--rate", "1", "--concurrency", "2"], "not both"],
  [["--url", "http://127.0.0.1:1", "--peer", "llama.cpp"], "--url without"],
  [["--scenario", "backlog", "--peer", "llama.cpp"], "backlog without"],
  [["--scenario", "ledger", "--peer", "llama.cpp"], "ledger without"],
  [["--rounds", "2"], "ledger only"],
  [["--key-file", "x"], "--url only"],
])("claw bench serve %j is refused", async (args, complaint) => {
  const { status, stdout, stderr } = await claw(["bench", "serve", ...args]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toContain(complaint);
});

test("a server that does not start is an error with its reason", async () => {
  const { status, stderr } = await claw(["bench", "serve", "--model", join(folder, "absent.gguf")]);
  expect(status).toBe(1);
  expect(stderr).toContain("absent.gguf");
});
