/**
 * How a model is split, changed while streams run: in the configuration's file, by SIGHUP and by PUT; and degrees that the model refuses,
 * there and at the start. Of the shape of SmolLM-135M: nine heads and three KV heads, so three attention segments.
 */

import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { synthesize } from "../../src/model/mod.ts";
import { bannerOf, claw, exitOf, makeFolder, start } from "../cli/claw.ts";
import { until } from "./until.ts";

const STREAMS = 3;
const TOKENS = 120;
const REFUSAL = /3 attention segments \(9 heads, 3 KV heads\)/;

const folder = makeFolder();
const model = join(folder, "small.gguf");
// The server looks at the folder of the link, so that what is written into the file itself waits for SIGHUP.
const link = join(folder, "openclaw.json");
const elsewhere = join(folder, "elsewhere");
let child: ChildProcess;
let exit: Promise<number | null>;
let url: string;
let key: string;
let log = "";
let files = 0;

function document(degree: number): string {
  return JSON.stringify({
    model,
    port: 0,
    context: 512,
    threads: 2,
    pin_threads: "never",
    log: { format: "json" },
    tensor_parallelism_degree: degree,
  });
}

/** Puts another file where the link leads: noticed. */
function replace(degree: number): void {
  const target = join(elsewhere, `${files++}.json`);
  writeFileSync(target, document(degree));
  symlinkSync(target, `${link}.new`);
  renameSync(`${link}.new`, link);
}

/** Writes into the file that the link leads to: not noticed. */
function rewrite(degree: number): void {
  writeFileSync(link, document(degree));
}

const headers = (): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  "content-type": "application/json",
});

async function put(degree: number): Promise<{ readonly status: number; readonly text: string }> {
  const body = JSON.stringify({ tensor_parallelism_degree: degree });
  const reply = await fetch(`${url}/admin/config`, { method: "PUT", headers: headers(), body });
  return { status: reply.status, text: await reply.text() };
}

async function changes(): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: headers() })).text();
  return Number(/^claw:plan_changes_total\{[^}]*\} (\S+)$/m.exec(text)?.[1]);
}

const refusals = (): number => log.split("E_PLACEMENT").length - 1;

/** One stream: its events, as far as they are the same each time. `onEvent` is told how many there are. */
async function stream(seed: number, onEvent: (count: number) => void): Promise<string[]> {
  const request = { prompt: [5, 6, 7 + seed], max_tokens: TOKENS, seed, ignore_eos: true, logprobs: 1 };
  const body = JSON.stringify({ ...request, stream: true });
  const reply = await fetch(`${url}/v1/completions`, { method: "POST", headers: headers(), body });
  const events: string[] = [];
  let rest = "";
  for await (const part of reply.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter((each) => each.startsWith("data: {"))) {
      const { choices, error } = JSON.parse(line.slice("data: ".length));
      events.push(JSON.stringify(error ?? [choices[0]?.text, choices[0]?.logprobs]));
      onEvent(events.length);
    }
  }
  expect(events.length).toBeGreaterThanOrEqual(TOKENS);
  return events;
}

/** All streams, with something done as soon as they run, which can ask whether they still do. */
async function under(disturb: (running: () => boolean) => Promise<void>): Promise<string[][]> {
  const begun = Promise.withResolvers<void>();
  let ended = false;
  const read = Array.from({ length: STREAMS }, (_, seed) => stream(seed, () => begun.resolve()));
  const all = Promise.all(read).finally(() => {
    ended = true;
  });
  await begun.promise;
  await disturb(() => !ended);
  return all;
}

describe.skipIf(!nativeAvailable())("the degree of a model in service (needs the native core)", () => {
  let undisturbed: readonly string[][];
  /** Changes that were in force while all streams ran. */
  let midway = 0;

  beforeAll(async () => {
    synthesize({ preset: "llama-135m", type: "q8_0", outliers: false, seed: 3, out: model });
    mkdirSync(elsewhere);
    replace(1);
    child = start(["serve", "--config", link], { env: { XDG_STATE_HOME: join(folder, "state") } });
    exit = exitOf(child);
    child.stderr?.on("data", (part: Buffer) => {
      log += part.toString();
    });
    ({ url } = await bannerOf(child));
    key = readFileSync(join(folder, "state", "openclaw", "api-key"), "utf8").trim();
    undisturbed = await under(async () => {});
  }, 120_000);

  afterAll(async () => {
    child.kill("SIGTERM");
    expect(await exit).toBe(0);
  });

  const ways: [string, (running: () => boolean) => Promise<void>][] = [
    [
      "another file in its place",
      async (running) => {
        replace(2);
        await until(async () => (await changes()) === 1);
        if (running()) midway++;
        replace(4);
        await until(() => refusals() === 1);
      },
    ],
    [
      "SIGHUP",
      async (running) => {
        rewrite(1);
        await sleep(400);
        expect(await changes()).toBe(1);
        child.kill("SIGHUP");
        await until(async () => (await changes()) === 2);
        if (running()) midway++;
        rewrite(4);
        child.kill("SIGHUP");
        await until(() => refusals() === 2);
      },
    ],
    [
      "PUT",
      async (running) => {
        expect((await put(3)).status).toBe(200);
        if (running()) midway++;
        expect(await put(4)).toEqual({ status: 422, text: expect.stringMatching(REFUSAL) });
        expect((await put(1)).status).toBe(200);
        expect(await changes()).toBe(4);
      },
    ],
  ];

  test.each(ways)(
    "changes by %s, or is refused, and no stream differs",
    { timeout: 90_000 },
    async (_, way) => {
      expect(await under(way)).toEqual(undisturbed);
    },
  );

  test("changed while streams ran", () => {
    expect(midway).toBeGreaterThanOrEqual(2);
  });

  test("is refused with what the model has, in the log, too", () => {
    const lines = log.split("\n").filter((line) => line.includes("E_PLACEMENT"));
    expect(lines.length).toBeGreaterThanOrEqual(2);
    for (const line of lines.slice(0, 2)) expect(line).toMatch(REFUSAL);
  });

  test("that no model can have at its start ends the start", { timeout: 60_000 }, async () => {
    const outcome = await claw([
      "serve",
      "--model",
      model,
      "--port",
      "0",
      "--tensor-parallelism-degree",
      "4",
    ]);
    expect(outcome).toMatchObject({ status: 2, stderr: expect.stringMatching(REFUSAL) });
  });
});
