import type { ChildProcess } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openModel } from "../../src/model/mod.ts";
import { bannerOf, exitOf, makeFolder, makeTinyModel, start } from "./claw.ts";

const STREAMS = 8;
const folder = makeFolder();
const file = join(folder, "openclaw.json");
let child: ChildProcess;
let pageBytes: number;
let url: string;
let key: string;
let log = "";
let undisturbed: string[];

interface Limits {
  readonly max_batch_size: number;
  readonly prefill_chunk_tokens: number;
  readonly kv_cache_bytes: number;
}

/** Limits with so many KV pages. */
function limits(batch: number, chunk: number, pages: number): Limits {
  return { max_batch_size: batch, prefill_chunk_tokens: chunk, kv_cache_bytes: pages * pageBytes };
}

/** What the file says, with `queue` to tell its versions apart. */
function document(queue: number, more: object = limits(8, 64, 64)): string {
  return JSON.stringify({
    model: "tiny.gguf",
    device: "reference",
    port: 0,
    context: 512,
    log: { level: "info", format: "json" },
    max_queue_size: queue,
    ...more,
  });
}

beforeAll(async () => {
  const model = openModel(makeTinyModel(folder));
  model.close();
  const { layers, kvHeads, headDim } = model.description;
  // Keys and values of 32 positions in half floats.
  pageBytes = layers * kvHeads * headDim * 32 * 2 * 2;
  writeFileSync(file, document(100));
  child = start(["serve", "--config", file], { env: { XDG_STATE_HOME: join(folder, "state") } });
  child.stderr?.on("data", (part: Buffer) => {
    log += part.toString();
  });
  ({ url } = await bannerOf(child));
  key = readFileSync(join(folder, "state", "openclaw", "api-key"), "utf8").trim();
  undisturbed = await texts();
});

afterAll(async () => {
  const exit = exitOf(child);
  child.kill("SIGTERM");
  await exit;
});

/** The texts of several streams at once; `begun` is called when each of them has begun. */
async function texts(begun: () => Promise<void> = async () => {}): Promise<string[]> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  let open = 0;
  let disturbed: Promise<void> | undefined;
  const read = async (seed: number): Promise<string> => {
    const request = { model: "tiny", prompt: `Story ${seed}:`, max_tokens: 120, ignore_eos: true, seed };
    const stream = await client.completions.create({ ...request, stream: true });
    let text = "";
    let finish: string | null = null;
    for await (const chunk of stream) {
      if (text === "" && ++open === STREAMS) disturbed = begun();
      text += chunk.choices[0]?.text ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    expect(finish).toBe("length");
    return text;
  };
  const all = await Promise.all(Array.from({ length: STREAMS }, (_, seed) => read(seed)));
  expect(disturbed).toBeDefined();
  await disturbed;
  return all;
}

const headers = (): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  "content-type": "application/json",
});

interface Shown {
  readonly options: Readonly<Record<string, { readonly value: unknown; readonly after_restart?: unknown }>>;
}

async function shown(): Promise<Shown["options"]> {
  const answer = await fetch(`${url}/admin/config`, { headers: headers() });
  return ((await answer.json()) as Shown).options;
}

async function becomes(name: string, value: unknown): Promise<void> {
  const deadline = Date.now() + 10_000;
  while ((await shown())[name]?.value !== value) {
    if (Date.now() > deadline) throw new Error(`${name} did not become ${value}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: headers() })).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Waits for the engine to go by a batch size: its numbers are those of its last step. */
async function batchBecomes(batch: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  while ((await metric("claw:max_batch_size")) !== batch) {
    if (Date.now() > deadline) throw new Error(`The batch did not become ${batch}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function put(body: object): Promise<unknown> {
  const answer = await fetch(`${url}/admin/config`, {
    method: "PUT",
    headers: headers(),
    body: JSON.stringify(body),
  });
  return await answer.json();
}

test.each<[string, () => Promise<void>]>([
  [
    "another file in its place",
    async () => {
      const preempted = await metric("claw:num_preemptions_total");
      writeFileSync(`${file}.new`, document(101, limits(3, 8, 24)));
      renameSync(`${file}.new`, file);
      await becomes("max_queue_size", 101);
      await batchBecomes(3);
      expect(await metric("claw:kv_cache_pages")).toBe(24);
      expect(await metric("claw:num_preemptions_total")).toBeGreaterThan(preempted);
    },
  ],
  [
    "SIGHUP",
    async () => {
      // Written and signalled at once: whichever comes first, the other finds nothing more to do.
      writeFileSync(file, document(102, limits(12, 100, 64)));
      child.kill("SIGHUP");
      await becomes("max_queue_size", 102);
      await batchBecomes(12);
      expect(await metric("claw:kv_cache_pages")).toBe(64);
    },
  ],
  [
    "PUT /admin/config",
    async () => {
      expect(await put({ ...limits(2, 16, 20), threads: 1 })).toEqual({
        applied: [
          { name: "max_batch_size", from: 12, to: 2 },
          { name: "kv_cache_bytes", from: 64 * pageBytes, to: 20 * pageBytes },
          { name: "prefill_chunk_tokens", from: 100, to: 16 },
        ],
        needs_restart: [{ name: "threads", from: null, to: 1 }],
      });
      await batchBecomes(2);
      expect(await shown()).toMatchObject({ max_batch_size: { value: 2 }, threads: { after_restart: 1 } });
      expect(await put({ max_batch_size: 500 })).toMatchObject({
        error: { code: "E_PARAMETER", param: "max_batch_size" },
      });
      expect(await shown()).toMatchObject({ max_batch_size: { value: 2, source: "admin" } });
      await put({});
      await batchBecomes(12);
    },
  ],
  [
    "a file that is not valid",
    async () => {
      const before = log.length;
      writeFileSync(file, document(0, { colour: 1 }));
      child.kill("SIGHUP");
      while (!log.slice(before).includes("colour is not known")) await new Promise((r) => setTimeout(r, 20));
      await becomes("max_queue_size", 102);
    },
  ],
])("%s under load drops no stream and changes no text", async (_, disturb) => {
  let disturbances = 0;
  const after = await texts(async () => {
    await disturb();
    disturbances++;
  });
  expect(disturbances).toBe(1);
  expect(after).toEqual(undisturbed);
});
