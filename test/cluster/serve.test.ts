/** A server whose model runs on nodes: processes over NATS. It answers as one process does, whoever drains, dies or comes. */

import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, openControl, TIMING_DEFAULT } from "../../src/cluster/mod.ts";
import { bannerOf, claw, exitOf, start } from "../cli/claw.ts";
import { canJoin, joinMissing, makeClusterFolder } from "./cluster-folder.ts";
import { NatsServer } from "./nats-server.ts";
import { until } from "./until.ts";

const { folder, model, secretFile, measurements } = makeClusterFolder(400_000);
/** Tokens of an answer in which a node has to be killed. */
const LONG = 200;
const sizes = { model, port: 0, authentication: false, threads: 1, max_batch_size: 4, context: 256 };

describe.skipIf(!canJoin)(`a server over nodes${joinMissing}`, () => {
  const nats = new NatsServer();
  const children = new Map<string, ChildProcess>();
  let watcher: Agent;
  let url = "";
  let alone = "";
  let expected: string[] = [];

  beforeAll(async () => {
    await nats.start();
    const nodes = ["a", "b", "c"].map(node);
    alone = await serve("alone", {});
    await Promise.all(nodes);
    const tls = { tlsCa: undefined, tlsCert: undefined, tlsKey: undefined, credentialsFile: undefined };
    const control = await openControl({ ...tls, control: nats.address, secretFile, bucket: "openclaw" });
    const clock = (): number => performance.now();
    const looking = { timing: TIMING_DEFAULT, clock, self: undefined, plan: () => {} };
    watcher = await Agent.start({ ...control, ...looking });
    expected = await answers(alone);
    const cluster = {
      ...{ control: `nats://${nats.address}`, secret_file: secretFile, name: "server" },
      compute: "nodes",
    };
    url = await serve("server", { cluster });
  });

  afterAll(async () => {
    watcher?.stop();
    for (const child of children.values()) child.kill("SIGKILL");
    await nats.remove();
  });

  const access = (): string[] => ["--control", `nats://${nats.address}`, "--secret-file", secretFile];

  /** Starts a node of this name; resolves when it has joined. */
  async function node(name: string): Promise<string> {
    const own = ["--name", name, "--measurements", measurements, "--model", model, "--threads", "1"];
    const child = start(["node", "join", ...access(), ...own]);
    children.set(name, child);
    let words = "";
    child.stdout?.on("data", (part) => {
      words += part;
    });
    await until(() => words.includes(`Node ${name} takes links at`));
    return name;
  }

  async function serve(name: string, more: object): Promise<string> {
    const config = join(folder, `${name}.json`);
    writeFileSync(config, JSON.stringify({ ...sizes, ...more }));
    const child = start(["serve", "--config", config]);
    child.stderr?.on("data", (part) => process.env["CLAW_TEST_WORDS"] && console.log(String(part)));
    children.set(name, child);
    return (await bannerOf(child)).url;
  }

  const prompts = ["Once upon a time", "The king", "a", "It was the best of times, it was the worst of"];

  async function answers(server: string, tokens = 60): Promise<string[]> {
    return Promise.all(prompts.map((prompt, seed) => complete(server, { prompt, seed, tokens })));
  }

  /** One of the server's metrics, without the prefix `claw:`. */
  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^claw:${name}(?:\\{[^}]*\\})? (\\d+)$`, "m").exec(text)?.[1]);
  }

  /** The text and the log-probabilities of an answer. */
  async function complete(
    server: string,
    { prompt, seed, tokens }: { prompt: string; seed: number; tokens: number },
  ): Promise<string> {
    const response = await fetch(`${server}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ...{
          model: "tiny",
          prompt,
          seed,
          max_tokens: tokens,
          ignore_eos: true,
          temperature: 0.9,
          logprobs: 2,
        },
      }),
    });
    const { choices } = (await response.json()) as { choices: { text: string; logprobs: unknown }[] };
    return JSON.stringify([choices[0]?.text, choices[0]?.logprobs]);
  }

  /** Where ranks run, by the nodes' own words. */
  const working = (): string[] =>
    watcher
      .status()
      .peers.filter(({ alive, record }) => alive && record.work.ranks.length > 0)
      .map(({ node: name }) => name);
  const version = (): number => watcher.status().state?.plan?.version ?? 0;
  const planned = (): string[] => {
    const stages = watcher.status().state?.plan?.plan?.stages ?? [];
    return [...new Set(stages.flatMap(({ ranks }) => ranks.map((rank) => rank.node)))].sort();
  };

  test("answers as one process does, over more nodes than one", async () => {
    expect(planned().length).toBeGreaterThan(1);
    expect(working()).toEqual(planned());
    expect(new Set(expected).size).toBe(prompts.length);
    expect(await answers(url)).toEqual(expected);
  });

  test("goes on with what runs when a node is killed, and no ghost of it is left", async () => {
    const [victim = ""] = planned();
    const before = version();
    const all = await answers(alone, LONG);
    const drawn = await metric("generation_tokens_total");
    const restored = await metric("restored_tokens_total");
    const asked = answers(url, LONG);
    // Each has filled some pages by then.
    await until(async () => (await metric("generation_tokens_total")) > drawn + (prompts.length * LONG) / 3);
    const ranks = childrenOf(children.get(victim));
    expect(ranks.length).toBeGreaterThan(0);
    children.get(victim)?.kill("SIGKILL");
    for (const pid of ranks) process.kill(pid, "SIGKILL");
    expect(await asked).toEqual(all);
    // Not everything was computed again: the server has copies of what nodes kept.
    expect(await metric("restored_tokens_total")).toBeGreaterThan(restored + prompts.length * 32);
    expect(version()).toBeGreaterThan(before);
    expect(planned()).not.toContain(victim);
    const { stdout } = await claw(["cluster", "status", ...access(), "--json"]);
    const status = JSON.parse(stdout) as { nodes: { name: string; alive: boolean }[] };
    expect(status.nodes.filter(({ alive }) => alive).map(({ name }) => name)).not.toContain(victim);
    await node(victim);
  });

  test("leaves a node that is drained without losing a request, and gives it no ranks", async () => {
    await until(
      () =>
        watcher.status().peers.filter(({ alive, record }) => alive && record.role === "node").length === 3,
    );
    const [victim = ""] = planned();
    const exited = exitOf(children.get(victim) as ChildProcess);
    const [drained, during] = await Promise.all([
      claw(["cluster", "drain", victim, ...access()]),
      answers(url),
    ]);
    expect([drained.status, drained.stdout]).toEqual([0, `${victim} has left.\n`]);
    expect(await exited).toBe(0);
    expect(during).toEqual(expected);
    expect(planned()).not.toContain(victim);
    expect(working()).not.toContain(victim);
    expect(await answers(url)).toEqual(expected);
  });
});

/** Processes that a process started. */
function childrenOf(parent: ChildProcess | undefined): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const [, rest = ""] = readFileSync(`/proc/${entry}/stat`, "utf8").split(") ");
      return Number(rest.split(" ")[1]) === parent?.pid ? [Number(entry)] : [];
    } catch {
      return []; // it ended meanwhile
    }
  });
}
