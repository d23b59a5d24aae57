/**
 * I/O: `npm run test:failover`: a server whose ranks are processes, live streams, and kills and stops of its ranks for as long as one
 * likes. Compares every stream with the run that nobody touched, and prints the gaps that clients saw as JSON.
 *
 *     npm run test:failover -- --kills 40 --preset llama-1b [--model FILE] [--streams 8] [--prompt 1000] [--tokens 400]
 *         [--seconds 8] [--no-spare] [--seed 1]
 */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { synthesize } from "../../../src/model/mod.ts";
import { Random } from "../../kernels/random.ts";
import { rankPids } from "../rank-pids.ts";
import { Driven } from "./driven.ts";
import { readStream, type StreamRead } from "./stream.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "10" },
    preset: { type: "string", default: "llama-1b" },
    model: { type: "string" },
    streams: { type: "string", default: "8" },
    prompt: { type: "string", default: "1000" },
    tokens: { type: "string", default: "400" },
    seconds: { type: "string", default: "8" },
    "no-spare": { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
  },
});

const kills = Number(values.kills);
const streams = Number(values.streams);
const promptTokens = Number(values.prompt);
const tokens = Number(values.tokens);
const everyMs = Number(values.seconds) * 1000;
const random = new Random(Number(values.seed));

const folder = mkdtempSync(join(tmpdir(), "claw-failover-"));
const signals = ["SIGKILL", "SIGSTOP"] as const;

interface Kill {
  readonly at: number;
  readonly signal: (typeof signals)[number];
}

function model(): string {
  if (values.model !== undefined) return values.model;
  const out = join(folder, `${values.preset}.gguf`);
  const { preset } = values;
  synthesize({ preset: preset as "llama-1b", type: "q8_0", outliers: false, seed: 1, out });
  return out;
}

function round(server: Driven): Promise<StreamRead[]> {
  const prompt = (seed: number): number[] =>
    Array.from({ length: promptTokens }, (_, i) => (i * 31 + seed * 1009 + 7) % 500);
  return Promise.all(
    Array.from({ length: streams }, (_, seed) => {
      return readStream(server.url, { model: server.model, prompt: prompt(seed), max_tokens: tokens, seed });
    }),
  );
}

/** Kills as long as the round runs and there are kills left. */
async function torment(server: Driven, done: Promise<unknown>, list: Kill[]): Promise<void> {
  let running = true;
  const ended = done.then(() => {
    running = false;
  });
  while (running && list.length < kills) {
    await Promise.race([sleep(everyMs * (0.5 + random.between(0, 100) / 100)), ended]);
    const [first, second] = rankPids(server.pid);
    if (!running || first === undefined || second === undefined) continue;
    const kill = { at: performance.now(), signal: random.pick(signals) };
    process.kill(random.pick([first, second]), kill.signal);
    list.push(kill);
  }
}

/** The longest wait of a stream for a token that was under way when the kill came, or for the one after it; in seconds. */
function gapOf(times: readonly number[], { at }: Kill): number | undefined {
  const next = times.findIndex((time) => time > at);
  if (next < 1) return undefined;
  const waits = [next, next + 1, next + 2].flatMap((i) => {
    const [before, time] = [times[i - 1], times[i]];
    return before === undefined || time === undefined ? [] : [time - before];
  });
  return Math.max(...waits) / 1000;
}

function quantile(sorted: readonly number[], part: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? null;
}

function summary(gaps: readonly number[]): object {
  const sorted = gaps.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? null,
  };
}

const flags = ["--ranks-run-in", "processes", "--tensor-parallelism-degree", "2", "--context", "2048"];
const server = await Driven.start(model(), folder, [
  ...flags,
  ...(values["no-spare"] ? [] : ["--ranks-spare"]),
]);
const list: Kill[] = [];
const gaps = new Map<string, number[]>(signals.map((signal) => [signal, []]));
let [rounds, different] = [0, 0];
try {
  const undisturbed = await round(server);
  while (list.length < kills) {
    const from = list.length;
    const reading = round(server);
    await torment(server, reading, list);
    const answers = await reading;
    rounds++;
    for (const [i, { events, times }] of answers.entries()) {
      if (JSON.stringify(events) !== JSON.stringify(undisturbed[i]?.events)) different++;
      for (const kill of list.slice(from)) {
        const gap = gapOf(times, kill);
        if (gap !== undefined) gaps.get(kill.signal)?.push(gap);
      }
    }
    process.stderr.write(`${list.length} of ${kills} kills, ${different} streams differ\n`);
  }
  // Those that were stopped have been replaced, and no process is left over.
  await sleep(5000);
  const health = await (await fetch(`${server.url}/health`)).json();
  const report = {
    model: server.model,
    streams,
    promptTokens,
    tokens,
    kills: list.length,
    rounds,
    streamsDifferent: different,
    gapSeconds: summary([...gaps.values()].flat()),
    ...Object.fromEntries([...gaps].map(([signal, all]) => [signal, summary(all)])),
    losses: await server.metric("rank_losses_total"),
    recoveries: await server.metric("recoveries_total"),
    restoredTokens: await server.metric("restored_tokens_total"),
    copiedPages: await server.metric("kv_pages_copied_total"),
    ranksLeft: rankPids(server.pid).length,
    health,
  };
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  process.exitCode = different === 0 && existsSync(folder) ? 0 : 1;
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
