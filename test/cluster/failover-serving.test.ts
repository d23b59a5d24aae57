/**
 * A server whose ranks are processes: killed, stopped, and split in other ways while streams run. Every stream ends with the bytes
 * of a server of one process that nobody touched.
 */

import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bannerOf, exitOf, makeFolder, makeTinyModel, start } from "../cli/claw.ts";
import { Random } from "../kernels/random.ts";
import { rankPids } from "./rank-pids.ts";
import { until } from "./until.ts";

const STREAMS = 8;
const TOKENS = 260;

const folder = makeFolder();
const cache = makeFolder();
const hasProc = existsSync("/proc/self/stat");

interface Server {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly exit: Promise<number | null>;
  /** What it writes beside its banner. */
  readonly words: string[];
}

/** What a stream brought: texts and log-probabilities. */
type Answer = readonly string[];

let plain: readonly Answer[];
let server: Server;
let key: string;

async function serve(...flags: string[]): Promise<Server> {
  const model = join(folder, "tiny.gguf");
  const args = ["serve", "--model", model, "--port", "0", "--threads", "2", "--pin-threads", "never"];
  const env = { XDG_STATE_HOME: join(folder, "state"), XDG_CACHE_HOME: cache };
  const child = start([...args, ...flags], { env });
  const exit = exitOf(child);
  const words: string[] = [];
  child.stderr?.setEncoding("utf8").on("data", (text: string) => words.push(text));
  const { url } = await bannerOf(child);
  key = readFileSync(join(folder, "state", "openclaw", "api-key"), "utf8").trim();
  return { child, pid: child.pid as number, url, exit, words };
}

async function stop({ child, exit }: Server): Promise<void> {
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
}

/** Streams at once; `onToken` is told how many tokens the first has. */
async function ask(url: string, onToken: (count: number) => void = () => {}): Promise<Answer[]> {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const read = async (seed: number): Promise<string[]> => {
    const request = { model: "tiny", prompt: `Story ${seed} of many:`, seed, temperature: 1.1, logprobs: 1 };
    const stream = await client.completions.create({
      ...request,
      ...{ max_tokens: TOKENS, stream: true, ignore_eos: true },
    });
    const got: string[] = [];
    for await (const { choices } of stream) {
      const [choice] = choices;
      if (choice === undefined) continue;
      got.push(JSON.stringify([choice.text, choice.logprobs, choice.finish_reason]));
      if (seed === 0) onToken(got.length);
    }
    expect(got.at(-1)).toContain("length");
    return got;
  };
  return Promise.all(Array.from({ length: STREAMS }, (_, seed) => read(seed)));
}

function headers(): Record<string, string> {
  return { authorization: `Bearer ${key}`, "content-type": "application/json" };
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`, { headers: headers() })).text();
  return Number(new RegExp(`^claw:${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
}

async function configure(change: object): Promise<{ readonly status: number; readonly body: string }> {
  const reply = await fetch(`${server.url}/admin/config`, {
    method: "PUT",
    headers: headers(),
    body: JSON.stringify(change),
  });
  return { status: reply.status, body: await reply.text() };
}

describe.skipIf(!hasProc)("a server whose ranks are processes (needs /proc)", () => {
  beforeAll(async () => {
    makeTinyModel(folder);
    const alone = await serve();
    plain = await ask(alone.url);
    await stop(alone);
    server = await serve("--ranks-run-in", "processes", "--tensor-parallelism-degree", "2", "--ranks-spare");
  });

  afterAll(() => void server.child.kill("SIGKILL"));

  test("answers as one process does", async () => {
    expect(rankPids(server.pid).length).toBeGreaterThanOrEqual(2);
    expect(await ask(server.url)).toEqual(plain);
  });

  test("loses nothing when ranks are killed and stopped", async () => {
    const random = new Random(Date.now() & 0xffff);
    const signals = ["SIGKILL", "SIGSTOP", "SIGKILL", "SIGSTOP"] as const;
    const due = signals.map((_, i) => 20 + 55 * i + random.between(0, 40));
    const lost: Promise<void>[] = [];
    let hits = 0;
    const answers = await ask(server.url, (count) => {
      if (count !== due[hits]) return;
      const signal = signals[hits++] as (typeof signals)[number];
      process.kill(random.pick(rankPids(server.pid).slice(0, 2)), signal);
      const sofar = hits;
      lost.push(until(async () => (await metric("rank_losses_total")) >= sofar));
    });
    expect(answers).toEqual(plain);
    expect(await metric("rank_messages_total")).toBeGreaterThan(await metric("iterations_total"));
    expect(hits).toBe(signals.length);
    await Promise.all(lost);
    await until(async () => (await metric("recoveries_total")) === (await metric("rank_losses_total")));
    expect(await metric("recovery_gap_seconds_count")).toBeGreaterThanOrEqual(signals.length);
    // Those that were stopped are gone, too: ranks and their spares are left.
    await until(() => rankPids(server.pid).length === 4);
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({ status: "ok" });
  });

  test("is split in other ways while streams run, and refuses what the model has no segments for", async () => {
    const changes = [
      { tensor_parallelism_degree: 1 },
      { tensor_parallelism_degree: 64 },
      { tensor_parallelism_degree: 1, pipeline_parallelism_degree: 2 },
      { tensor_parallelism_degree: 2 },
    ];
    const replies: Awaited<ReturnType<typeof configure>>[] = [];
    let changed = Promise.resolve();
    const answers = await ask(server.url, (count) => {
      if (count % 40 !== 0) return;
      const change = changes.shift();
      if (change !== undefined)
        changed = changed.then(async () => void replies.push(await configure(change)));
    });
    await changed;
    expect(answers).toEqual(plain);
    expect(replies.map(({ status }) => status)).toEqual([200, 422, 200, 200]);
    expect(replies[1]?.body).toContain("E_PLACEMENT");
    expect(await metric("plan_changes_total")).toBe(3);
    await until(() => rankPids(server.pid).length === 4);
  });

  test("ends with all of its processes", async () => {
    const pids = rankPids(server.pid);
    await stop(server);
    await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
  });
});
