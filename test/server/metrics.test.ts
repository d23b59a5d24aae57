import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineMetrics } from "../../src/engine/mod.ts";
import { ServerMetrics } from "../../src/server/mod.ts";
import { makeHome, makeTinyModel, removeHome, type Service, startService, until } from "./service.ts";

let home: string;
let service: Service;

beforeAll(async () => {
  home = makeHome();
  service = await startService(makeTinyModel(home));
});

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

async function scrape({ server }: Service = service): Promise<string> {
  const answer = await fetch(`${server.url}/metrics`, {
    headers: { authorization: `Bearer ${server.apiKey?.key}` },
  });
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return await answer.text();
}

/** A sample by its name and one label; NaN where there is none. */
function sample(text: string, name: string, label = ""): number {
  const line = text.split("\n").find((each) => each.startsWith(`${name}{`) && each.includes(label));
  return Number(line?.split(" ").at(-1) ?? Number.NaN);
}

const promtoolMissing = spawnSync("promtool", ["--version"]).status !== 0;

test.skipIf(promtoolMissing)(
  "promtool reads the text and minds nothing but vLLM's colons (needs promtool)",
  async () => {
    const { stdout, stderr, status } = spawnSync("promtool", ["check", "metrics"], { input: await scrape() });
    const complaints = `${stdout}${stderr}`.split("\n").filter((line) => line !== "");
    expect(complaints.filter((line) => !line.includes("should not contain ':'"))).toEqual([]);
    // 3: read, with complaints of style.
    expect(status).toBe(3);
  },
);

test("known traffic is counted exactly", async () => {
  const before = await scrape();
  const body = { model: "tiny", max_tokens: 12, ignore_eos: true, seed: 3 };
  const whole = await service.client.completions.create({ ...body, prompt: "Once upon a time", n: 2 });
  const stream = await service.client.completions.create({
    ...body,
    prompt: "A cat",
    stream: true,
    stream_options: { include_usage: true },
  });
  const usage = (await Array.fromAsync(stream)).at(-1)?.usage;
  await expect(
    service.client.completions.create({ ...body, prompt: "x", temperature: -1 }),
  ).rejects.toThrow();
  const status = 'path="/v1/completions",status="200"';
  const after = await until(
    () => scrape(),
    (text) =>
      sample(text, "claw:http_requests_total", status) -
        (sample(before, "claw:http_requests_total", status) || 0) ===
      2,
  );
  expect(after).toBeDefined();
  const grown = (name: string, label = ""): number =>
    sample(after!, name, label) - sample(before, name, label);
  expect(grown("claw:prompt_tokens_total")).toBe(
    (whole.usage?.prompt_tokens ?? 0) + (usage?.prompt_tokens ?? 0),
  );
  expect(grown("claw:generation_tokens_total")).toBe(36);
  expect(grown("claw:request_success_total", 'finished_reason="length"')).toBe(3);
  expect(grown("claw:request_success_total", 'finished_reason="abort"')).toBe(0);
  expect(sample(after!, "claw:http_requests_total", 'status="400"')).toBe(1);
  expect(sample(after!, "process_resident_memory_bytes")).toBeGreaterThan(1e7);
});

test("an answer whose client leaves is counted as aborted", async () => {
  const leave = new AbortController();
  const asked = {
    model: "tiny",
    prompt: "Once",
    max_tokens: 900,
    ignore_eos: true,
    n: 3,
    stream: true,
  } as const;
  await service.client.completions.create({ ...asked }, { signal: leave.signal });
  leave.abort();
  const aborted = async (): Promise<number> =>
    sample(await scrape(), "claw:request_success_total", 'finished_reason="abort"');
  expect(await until(aborted, (count) => count === 3)).toBe(3);
  const busy = async (): Promise<number> => sample(await scrape(), "claw:num_requests_running");
  expect(await until(busy, (count) => count === 0)).toBe(0);
});

test("only a key with the scope, or an open door, leads to them", async () => {
  expect((await fetch(`${service.server.url}/metrics`)).status).toBe(401);
  const open = await startService(join(home, "tiny.gguf"), { metricsAuthentication: false });
  expect((await fetch(`${open.server.url}/metrics`)).status).toBe(200);
  await open.server.close(0);
});

describe("the engine's numbers", () => {
  const engine = new EngineMetrics();
  const metrics = new ServerMetrics("m", () => engine.read());
  metrics.addLedger(() => ({
    entries: 0,
    published: 0,
    failures: 0,
    writable: true,
    witnesses: { w: { up: true, cosigned: 0, failures: 0 } },
  }));

  test("are printed as they are, histograms cumulatively", async () => {
    const request = {
      id: 1,
      promptTokens: 3,
      generatedTokens: 2,
      prefixHitTokens: 0,
      preemptions: 0,
      queuedAt: 0,
      admittedAt: 20,
      firstTokenAt: 30,
      previousTokenAt: undefined,
      lastTokenAt: 30,
    };
    engine.token(request);
    engine.token({ ...request, previousTokenAt: 30, lastTokenAt: 37 });
    engine.token({ ...request, previousTokenAt: 37, lastTokenAt: 40 });
    engine.ended({ ...request, lastTokenAt: 20_000_000 }, "length");
    engine.stepped({
      step: 1,
      rows: 5,
      prefillTokens: 3,
      decodeTokens: 2,
      ...{ sequences: 2, contendedTaken: 2, contendedPlaces: 8 },
      ...{ running: 2, batch: 8, waiting: 1 },
      pagesUsed: 3,
      pagesCached: 2,
      pagesFree: 7,
      pagesLimit: 12,
      ...{ prefixLookupTokens: 64, prefixHitTokens: 32 },
      swappedOut: 1,
      recomputed: 2,
      swappedIn: 0,
      ...{ rankExchanges: 2, rankMessages: 5, rankBytes: 640 },
      planMs: 1,
      executeMs: 20,
      sampleMs: 2,
      deliverMs: 3,
      drawn: 0,
      drawnIds: new Int32Array(0),
      drawnTokens: new Int32Array(0),
    });
    engine.collected(0.002);
    engine.delayed({ loopDelayP50: 0, loopDelayP99: 0.25, loopDelayMax: 0.5 });
    const text = await metrics.text();
    expect(sample(text, "claw:engine_gc_duration_seconds_count")).toBe(1);
    expect(sample(text, "claw:engine_eventloop_delay_seconds", 'statistic="p99"')).toBe(0.25);
    expect(sample(text, "claw:num_requests_running")).toBe(2);
    expect(sample(text, "claw:num_requests_waiting")).toBe(1);
    expect(sample(text, "claw:batch_occupancy_perc")).toBe(0.25);
    expect(sample(text, "claw:kv_cache_usage_perc")).toBe(0.25);
    expect(sample(text, "claw:kv_cache_pages", 'state="cached"')).toBe(2);
    expect(sample(text, "claw:iteration_tokens_total")).toBe(5);
    expect(sample(text, "claw:prefix_cache_queries_total")).toBe(64);
    expect(sample(text, "claw:rank_exchanges_total")).toBe(2);
    expect(sample(text, "claw:rank_messages_total")).toBe(5);
    expect(sample(text, "claw:rank_message_bytes_total")).toBe(640);
    expect(sample(text, "claw:prefix_cache_hits_total")).toBe(32);
    expect(sample(text, "claw:num_preemptions_total", 'kind="swap"')).toBe(1);
    expect(sample(text, "claw:num_preemptions_total", 'kind="recompute"')).toBe(2);
    expect(sample(text, "claw:inter_token_latency_seconds_bucket", 'le="0.0025"')).toBe(0);
    expect(sample(text, "claw:inter_token_latency_seconds_bucket", 'le="0.005"')).toBe(1);
    expect(sample(text, "claw:inter_token_latency_seconds_bucket", 'le="0.01"')).toBe(2);
    expect(sample(text, "claw:inter_token_latency_seconds_count")).toBe(2);
    expect(sample(text, "claw:inter_token_latency_seconds_sum")).toBeCloseTo(0.01, 9);
    expect(sample(text, "claw:time_to_first_token_seconds_sum")).toBeCloseTo(0.03, 9);
    expect(sample(text, "claw:request_queue_time_seconds_sum")).toBeCloseTo(0.02, 9);
    expect(sample(text, "claw:e2e_request_latency_seconds_bucket", 'le="640"')).toBe(0);
    expect(sample(text, "claw:e2e_request_latency_seconds_bucket", 'le="+Inf"')).toBe(1);
    expect(sample(text, "claw:step_time_seconds_sum", 'stage="execute"')).toBeCloseTo(0.02, 9);
  });

  test("docs/reference/metrics.md names every metric of ours", async () => {
    metrics.addStreams(() => ({ kept: 0, bytes: 0, resumed: 0, abandoned: 0, evicted: 0 }));
    metrics.addGateway({
      gateway: () => ({ ...{ holds: true, epoch: 1, takeovers: 1, inherited: 0, lost: 0 }, dropped: {} }),
      journal: () => ({ streams: 0, behind: 0, failures: 0, unjournalled: 0 }),
    });
    metrics.addCapabilities({ allowed: 0, cacheHits: 0, watchdogKills: 0, denied: {} });
    const page = readFileSync(join(import.meta.dirname, "../../docs/reference/metrics.md"), "utf8");
    const names = [...(await metrics.text()).matchAll(/^# TYPE (claw:\S+) (\S+)$/gm)];
    expect(names.length).toBeGreaterThan(15);
    for (const [, name, type] of names) expect(page).toContain(`| \`${name}\` | ${type} |`);
    expect(page.match(/^\| `claw:/gm)).toHaveLength(names.length);
  });
});
