/** Answers made under mixed load, some with one of two adapters, computed once more by another process on other threads, instructions and batches. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Archive, type Found, findEntries, replay } from "../../src/audit/mod.ts";
import type { ServeOptions } from "../../src/config/mod.ts";
import { EngineClient, type TokenGenerator } from "../../src/engine/mod.ts";
import { nativeAvailable, nativeInstructionSets } from "../../src/kernels/mod.ts";
import { openModelFile, type StoredAdapter } from "../../src/model/mod.ts";
import { claw } from "../cli/claw.ts";
import { randomAdapter } from "../engine/random-adapter.ts";
import { makeHome, makeTinyModel, removeHome, type Service, startService } from "../server/service.ts";

const native = nativeAvailable();
const REQUESTS = 100;
const AT_ONCE = 10;
const SEED = 4211;

let home: string;
let model: string;
let folder: string;
let service: Service;
let stored: readonly StoredAdapter[];

/** mulberry32: requests that are the same for a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Asked {
  readonly body: Record<string, unknown>;
  /** Leaves after so many chunks. */
  readonly leaveAfter: number | undefined;
}

function makeRequest(chance: () => number): Asked {
  const below = (count: number): number => Math.floor(chance() * count);
  const sometimes = <T>(share: number, make: () => T): T | undefined =>
    chance() < share ? make() : undefined;
  // Half of the prompts begin alike, so that they share pages.
  const start = chance() < 0.5 ? Array.from({ length: 64 }, (_, i) => 3 + i) : [];
  const prompt = [...start, ...Array.from({ length: 1 + below(100) }, () => 3 + below(250))];
  const leaveAfter = sometimes(0.2, () => 1 + below(20));
  return {
    leaveAfter,
    body: {
      // Each adapter has a quarter of the requests.
      model: ["tiny", "tiny", "tiny:one", "tiny:two"][below(4)],
      prompt,
      max_tokens: 1 + below(100),
      n: sometimes(0.1, () => 2),
      seed: below(1000),
      temperature: sometimes(0.8, () => chance() * 1.5),
      top_p: sometimes(0.4, () => 0.5 + chance() / 2),
      top_k: sometimes(0.3, () => 1 + below(50)),
      min_p: sometimes(0.2, () => chance() * 0.2),
      repetition_penalty: sometimes(0.3, () => 1 + chance() / 2),
      frequency_penalty: sometimes(0.2, () => chance()),
      presence_penalty: sometimes(0.2, () => chance()),
      logit_bias: sometimes(0.2, () => ({ [String(3 + below(100))]: chance() * 10 - 5 })),
      logprobs: sometimes(0.2, () => below(3)),
      stop: sometimes(0.2, () => ["e", "th"]),
      ignore_eos: sometimes(0.3, () => true),
      stream: leaveAfter !== undefined || chance() < 0.5,
    },
  };
}

async function ask({ body, leaveAfter }: Asked): Promise<"whole" | "left"> {
  const left = new AbortController();
  const response = await fetch(`${service.server.url}/v1/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${service.server.apiKey?.key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
    signal: left.signal,
  });
  expect(response.status).toBe(200);
  let chunks = 0;
  try {
    for await (const _ of response.body ?? []) {
      chunks++;
      if (chunks === leaveAfter) left.abort();
    }
  } catch (error) {
    if (!left.signal.aborted) throw error;
  }
  return left.signal.aborted ? "left" : "whole";
}

const options: Partial<ServeOptions> = {
  format: "i8",
  device: native ? "native" : "reference",
  maxBatch: 6,
  prefillChunkTokens: 48,
  kvCacheBytes: 1 << 21,
  maxQueueSize: 64,
};

beforeAll(async () => {
  home = makeHome();
  model = makeTinyModel(home);
  folder = join(home, "ledger");
  const { description, close } = openModelFile(model);
  stored = [
    randomAdapter(join(home, "one"), description, { rank: 4, seed: 1 }),
    randomAdapter(join(home, "two"), description, { rank: 9, seed: 2 }),
  ];
  close();
  service = await startService(model, { ...options, adapters: adapters(), ledgerFolder: folder });
});

const adapters = () => ["one", "two"].map((name) => ({ name, folder: join(home, name) }));

afterAll(async () => {
  await service.server.close(0);
  removeHome(home);
});

const where = (...more: string[]): string[] => [
  ...["--ledger", folder, "--model", model, "--json", ...more],
  ...adapters().flatMap((adapter) => ["--adapter", `${adapter.name}=${adapter.folder}`]),
];

describe("a server under mixed load", () => {
  test(`${REQUESTS} requests (seed ${SEED}), replayed in a fresh process while it runs, have the same tokens`, async () => {
    const chance = random(SEED);
    const waiting = Array.from({ length: REQUESTS }, () => makeRequest(chance));
    const seen = { whole: 0, left: 0 };
    const work = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) seen[await ask(next)]++;
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    expect(seen.left).toBeGreaterThan(5);
    for (let tries = 0; (await service.health()).running > 0 && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 200));

    const archive = await Archive.open(folder);
    const kinds = { stop: 0, length: 0, left: 0, error: 0 };
    const streams = await archive.lastOfStreams(0, archive.size);
    const made = new Map<string | undefined, number>();
    for (const index of streams) {
      const { entry, statement } = await archive.state(index);
      if (entry.kind === "close") kinds[entry.finish]++;
      made.set(statement.adapter, (made.get(statement.adapter) ?? 0) + 1);
    }
    for (const each of [undefined, ...stored]) expect(made.get(each?.digest)).toBeGreaterThanOrEqual(15);
    expect(made.size).toBe(3);
    expect(streams.length).toBeGreaterThanOrEqual(REQUESTS);
    expect(kinds.left).toBeGreaterThan(5);
    expect(kinds.length).toBeGreaterThan(20);
    expect(kinds.error).toBe(0);
    const { prefixHitTokens } = { prefixHitTokens: await metric("claw:prefix_cache_hits_total") };
    expect(prefixHitTokens).toBeGreaterThan(0);

    const [scalar] = nativeInstructionSets();
    const other = native ? ["--device", "native", "--threads", "1"] : ["--device", "reference"];
    const env = scalar === undefined ? {} : { CLAW_ISA: scalar };
    const range = ["audit", "range", "0", "end", ...where("--sample", "1000", "--max-batch", "3", ...other)];
    const { status, stdout, stderr } = await claw(range, { env });
    expect(stderr).not.toContain("claw:");
    const replayed = JSON.parse(stdout) as { replayed: number; tokens: number; different: unknown[] };
    expect(replayed).toMatchObject({ replayed: streams.length, forgotten: 0, different: [] });
    expect(replayed.tokens).toBeGreaterThan(2000);
    expect(status).toBe(0);
  }, 240_000);

  test("a token that is drawn otherwise is found, and where", async () => {
    const engine = await EngineClient.start({
      model,
      format: "i8",
      device: "auto",
      batch: 4,
      rows: 64,
      adapters: adapters(),
    });
    const archive = await Archive.open(folder);
    const { vault } = archive;
    const streams = await archive.lastOfStreams(0, archive.size);
    let found = 0;
    for (const index of streams.slice(0, 20)) {
      const state = await archive.state(index);
      const at = Math.floor(state.entry.tokens / 2);
      const broken: TokenGenerator = {
        async *generate(request) {
          let position = 0;
          for await (const event of engine.generate(request))
            yield position++ === at ? { ...event, token: event.token + 1 } : event;
        },
      };
      expect((await replay(state, { vault, generator: engine })).same).toBe(true);
      const result = await replay(state, { vault, generator: broken });
      if (state.entry.tokens === 0) continue;
      expect(result).toMatchObject({ same: false, differsAt: at });
      found++;
    }
    await engine.close();
    expect(found).toBeGreaterThan(15);
  }, 60_000);

  test("entries are found by their request, and by a time as a search of the whole log finds them", async () => {
    const archive = await Archive.open(folder);
    const all: Found[] = [];
    for (let index = 0; index < archive.size; index++) all.push({ index, entry: await archive.entry(index) });
    const timeAt = (share: number): number => all[Math.floor(all.length * share)]?.entry.time ?? 0;
    const known = { from: timeAt(0.25), to: timeAt(0.75) };
    const wanted = all.filter(({ entry: { time } }) => time >= known.from && time < known.to);
    expect(wanted.length).toBeGreaterThan(all.length / 4);
    expect(await findEntries(folder, archive, known)).toEqual(wanted);
    // Two answers of one request are two streams.
    const openings = all.flatMap(({ entry }) => (entry.kind === "open" ? [entry.request] : []));
    const request = openings.find((id, i) => openings.indexOf(id) !== i) ?? "";
    const found = await claw(["audit", "find", "--ledger", folder, "--request", request, "--json"]);
    const { entries } = JSON.parse(found.stdout) as { entries: Found[] };
    expect(entries).toEqual(
      all.filter(({ entry }) => entry.kind !== "progress" && entry.request === request),
    );
    expect(entries).toHaveLength(4);
    for (const wrong of [[], ["--request", "x", "--from", "2026-01-01"], ["--from", "noon"]])
      expect((await claw(["audit", "find", "--ledger", folder, ...wrong])).status).toBe(2);
  }, 60_000);

  test("a forgotten stream, another model, an open entry and one that is not there are refused with their codes", async () => {
    const archive = await Archive.open(folder);
    const streams = await archive.lastOfStreams(0, archive.size);
    const [index] = streams;
    const forgotten = await claw(["audit", "forget", String(index), "--ledger", folder, "--json"]);
    expect(JSON.parse(forgotten.stdout)).toMatchObject({ removed: true });
    const refused = async (entry: number, ...more: string[]): Promise<string> =>
      (await claw(["audit", "replay", String(entry), ...where(...more)])).stderr;
    expect(await refused(index ?? -1)).toContain("is forgotten");
    expect(await refused(0)).toContain("opens a stream");
    expect(await refused(archive.size + 100)).toContain("none with index");
    const other = join(home, "other.gguf");
    await claw(["model", "synth", "--preset", "llama-tiny", "--seed", "8", "--out", other]);
    const last = String(streams.at(-1));
    const altered = await claw(["audit", "replay", last, "--ledger", folder, "--model", other]);
    expect(altered).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("is not the model that was recorded"),
    });
    const same = await claw(["audit", "replay", last, ...where()]);
    expect([same.status, JSON.parse(same.stdout)]).toMatchObject([0, { index: streams.at(-1), same: true }]);
  }, 60_000);
});

async function metric(name: string): Promise<number> {
  const authorization = `Bearer ${service.server.apiKey?.key}`;
  const text = await (await fetch(`${service.server.url}/metrics`, { headers: { authorization } })).text();
  return Number(new RegExp(`^${name}\\{.*\\} (.+)$`, "m").exec(text)?.[1]);
}
