import type { ChildProcess } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exitOf, makeFolder, makeTinyModel, start } from "./claw.ts";

const STREAMS = 8;
const folder = makeFolder();
const file = join(folder, "openclaw.json");
let child: ChildProcess;
let url: string;
let key: string;
let log = "";
let undisturbed: string[];

/** What the file says, with `queue` to tell its versions apart. */
function document(queue: number, more: object = {}): string {
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
  makeTinyModel(folder);
  writeFileSync(file, document(100));
  child = start(["serve", "--config", file], { env: { XDG_STATE_HOME: join(folder, "state") } });
  child.stderr?.on("data", (part: Buffer) => {
    log += part.toString();
  });
  let banner = "";
  for await (const part of child.stdout ?? []) {
    banner += part;
    if (banner.endsWith("\n\n") && banner.includes("curl ")) break;
  }
  url = /http:\/\/[\d.]+:\d+/.exec(banner)?.[0] ?? "";
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

test.each<[string, () => Promise<void>]>([
  [
    "another file in its place",
    async () => {
      writeFileSync(`${file}.new`, document(101));
      renameSync(`${file}.new`, file);
      await becomes("max_queue_size", 101);
    },
  ],
  [
    "SIGHUP",
    async () => {
      // Written and signalled at once: whichever comes first, the other finds nothing more to do.
      writeFileSync(file, document(102));
      child.kill("SIGHUP");
      await becomes("max_queue_size", 102);
    },
  ],
  [
    "PUT /admin/config",
    async () => {
      const body = JSON.stringify({ max_queue_size: 103, threads: 1 });
      const answer = await fetch(`${url}/admin/config`, { method: "PUT", headers: headers(), body });
      expect(await answer.json()).toMatchObject({
        applied: [{ name: "max_queue_size", from: 102, to: 103 }],
        needs_restart: [{ name: "threads", from: null, to: 1 }],
      });
      expect(await shown()).toMatchObject({ max_queue_size: { value: 103 }, threads: { after_restart: 1 } });
      await fetch(`${url}/admin/config`, { method: "PUT", headers: headers(), body: "{}" });
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
