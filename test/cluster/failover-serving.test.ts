/**
 * A server whose ranks are processes: killed, stopped, and split in other ways while streams run. Every stream ends with the bytes
 * of a server of one process that nobody touched.
 */

import type { ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bannerOf, claw, exitOf, makeFolder, makeTinyModel, start } from "../cli/claw.ts";
import { Random } from "../kernels/random.ts";
import { rankPids } from "./rank-pids.ts";
import { tcpConnections } from "./tcp-connections.ts";
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

async function metric(name: string, { url }: Server = server): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: headers() })).text();
  return Number(new RegExp(`^claw:${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
}

function flipBit(path: string, place: number): void {
  const file = openSync(path, "r+");
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, place);
  writeSync(
    file,
    byte.map((value) => value ^ 16),
    0,
    1,
    place,
  );
  closeSync(file);
}

/** Ranks die and stop while streams run; the streams do not notice. */
async function loseRanks(of: Server, signals: readonly ("SIGKILL" | "SIGSTOP")[]): Promise<void> {
  const random = new Random(Date.now() & 0xffff);
  const due = signals.map((_, i) => 20 + 55 * i + random.between(0, 40));
  const lost: Promise<void>[] = [];
  let hits = 0;
  const answers = await ask(of.url, (count) => {
    if (count !== due[hits]) return;
    const signal = signals[hits++] as (typeof signals)[number];
    process.kill(random.pick(rankPids(of.pid).slice(0, 2)), signal);
    const sofar = hits;
    lost.push(until(async () => (await metric("rank_losses_total", of)) >= sofar));
  });
  expect(answers).toEqual(plain);
  expect(hits).toBe(signals.length);
  await Promise.all(lost);
  await until(async () => (await metric("recoveries_total", of)) === (await metric("rank_losses_total", of)));
  expect(await metric("recovery_gap_seconds_count", of)).toBeGreaterThanOrEqual(signals.length);
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
    expect(rankPids(server.pid).flatMap(tcpConnections)).toEqual([]);
    expect(await ask(server.url)).toEqual(plain);
  });

  test("loses nothing when ranks are killed and stopped", async () => {
    await loseRanks(server, ["SIGKILL", "SIGSTOP", "SIGKILL", "SIGSTOP"]);
    expect(await metric("rank_messages_total")).toBeGreaterThan(await metric("iterations_total"));
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

  test("answers as one process does when its ranks are linked by TCP", async () => {
    const ranks = ["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2"];
    const linked = await serve(...ranks, "--ranks-link", "tcp");
    try {
      expect(await ask(linked.url)).toEqual(plain);
      // Each to the engine's process, and to each other.
      expect(rankPids(linked.pid).map((pid) => tcpConnections(pid).length)).toEqual([2, 2]);
      await loseRanks(linked, ["SIGKILL"]);
    } finally {
      linked.child.kill("SIGKILL");
    }
  });

  test("loses nothing of a model under its seal either, and takes no rank of another one", async () => {
    const model = join(folder, "tiny.gguf");
    const key = join(folder, "release.pem");
    expect((await claw(["model", "keygen", key])).status).toBe(0);
    expect((await claw(["model", "seal", model, "--key", key])).status).toBe(0);
    const config = join(folder, "sealed.json");
    writeFileSync(config, JSON.stringify({ seal: { trust: [{ key_file: "release.pem.pub" }] } }));
    const ranks = ["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2"];
    const sealed = await serve("--config", config, ...ranks);
    try {
      await loseRanks(sealed, ["SIGSTOP", "SIGKILL"]);
      const healthy = async (): Promise<unknown> => (await fetch(`${sealed.url}/health`)).json();
      const place = readFileSync(model).length - 1234;
      flipBit(model, place);
      process.kill(rankPids(sealed.pid)[0] as number, "SIGKILL");
      // No rank begins with another model than the one that was trusted, however long nobody answers.
      const refused = /cannot be replaced yet: The model is not the one that was sealed/;
      await until(() => refused.test(sealed.words.join("")));
      expect(await healthy()).toMatchObject({ status: "recovering" });
      flipBit(model, place);
      await until(async () => ((await healthy()) as { readonly status: string }).status === "ok");
      expect(await ask(sealed.url)).toEqual(plain);
    } finally {
      sealed.child.kill("SIGKILL");
    }
  });
});
