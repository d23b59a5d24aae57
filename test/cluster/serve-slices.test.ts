/** A server whose nodes have no model file, as processes over NATS: it answers as one process does, also when it is started again. */

import type { ChildProcess } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bannerOf, claw, exitOf, start } from "../cli/claw.ts";
import { canJoin, joinMissing, makeClusterFolder } from "./cluster-folder.ts";
import { NatsServer } from "./nats-server.ts";
import { until } from "./until.ts";

const { folder, model, secretFile, measurements } = makeClusterFolder(400_000);
const modelBytes = statSync(model).size;
const sizes = { model, port: 0, authentication: false, threads: 1, max_batch_size: 4, context: 256 };

interface NodeStatus {
  readonly name: string;
  readonly role: string;
  readonly alive: boolean;
  readonly models: readonly unknown[];
  readonly work: { readonly ranks: readonly number[] };
  readonly slices: { readonly fetched: number; readonly handedOut: number; readonly fetching: unknown };
}

describe.skipIf(!canJoin)(`a server over nodes without the model${joinMissing}`, () => {
  const nats = new NatsServer();
  const children = new Map<string, ChildProcess>();
  const access = (): string[] => ["--control", `nats://${nats.address}`, "--secret-file", secretFile];
  const cacheOf = (name: string): string => join(folder, `cache-${name}`);
  let url = "";
  let expected: string[] = [];

  beforeAll(async () => {
    await nats.start();
    const nodes = ["a", "b"].map(node);
    expected = await answers(await serve("alone", {}));
    await Promise.all(nodes);
    url = await serve("server", { cluster: cluster() });
  });

  afterAll(async () => {
    for (const child of children.values()) child.kill("SIGKILL");
    await nats.remove();
  });

  const cluster = (): object => ({
    ...{ control: `nats://${nats.address}`, secret_file: secretFile, name: "server", compute: "nodes" },
  });

  /** Starts a node that has nothing; resolves when it has joined. */
  async function node(name: string): Promise<void> {
    const own = ["--name", name, "--measurements", measurements, "--threads", "1"];
    const child = start(["node", "join", ...access(), ...own], { env: { XDG_CACHE_HOME: cacheOf(name) } });
    children.set(name, child);
    let words = "";
    child.stdout?.on("data", (part) => {
      words += part;
    });
    await until(() => words.includes("it has no model"));
  }

  async function serve(name: string, more: object): Promise<string> {
    const config = join(folder, `${name}.json`);
    writeFileSync(config, JSON.stringify({ ...sizes, ...more }));
    const child = start(["serve", "--config", config]);
    children.set(name, child);
    return (await bannerOf(child)).url;
  }

  async function answers(server: string): Promise<string[]> {
    const prompts = ["Once upon a time", "The king", "a", "It was the best of times, it was the worst of"];
    return Promise.all(
      prompts.map(async (prompt, seed) => {
        const response = await fetch(`${server}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            ...{ model: "tiny", prompt, seed, max_tokens: 40, temperature: 0.9, logprobs: 2 },
          }),
        });
        const { choices } = (await response.json()) as { choices: { text: string; logprobs: unknown }[] };
        return JSON.stringify([choices[0]?.text, choices[0]?.logprobs]);
      }),
    );
  }

  /** The first of the answers, as a stream. */
  async function streamed(server: string): Promise<string> {
    const response = await fetch(`${server}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ...{ model: "tiny", prompt: "Once upon a time", seed: 0, max_tokens: 40, temperature: 0.9 },
        stream: true,
      }),
    });
    const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: {"));
    expect(events.length).toBeGreaterThan(10);
    return events
      .map((event) => (JSON.parse(event.slice(6)) as { choices: { text: string }[] }).choices[0]?.text ?? "")
      .join("");
  }

  async function nodesNow(): Promise<NodeStatus[]> {
    const { stdout } = await claw(["cluster", "status", ...access(), "--json"]);
    return (JSON.parse(stdout) as { nodes: NodeStatus[] }).nodes;
  }

  test("answers as one process does; its nodes have fetched less than the model", async () => {
    expect(await answers(url)).toEqual(expected);
    const nodes = (await nodesNow()).filter(({ role }) => role === "node");
    expect(nodes.map(({ name }) => name).sort()).toEqual(["a", "b"]);
    for (const { name, models, work, slices } of nodes) {
      expect(models).toEqual([]);
      expect(work.ranks.length).toBeGreaterThan(0);
      expect(slices.fetching).toBeNull();
      expect(slices.fetched).toBeGreaterThan(modelBytes / 5);
      expect(slices.fetched).toBeLessThan(0.9 * modelBytes);
      expect(readdirSync(join(cacheOf(name), "openclaw", "slices")).length).toBe(1);
    }
    const { stdout } = await claw(["cluster", "status", ...access()]);
    expect(stdout).toContain("fetched");
  });

  test("is stopped and started again, finds its nodes, and they have their slices", async () => {
    const before = await nodesNow();
    const server = children.get("server") as ChildProcess;
    server.kill("SIGTERM");
    expect(await exitOf(server)).toBe(0);
    url = await serve("server", { cluster: cluster() });
    expect(await answers(url)).toEqual(expected);
    expect(await streamed(url)).toBe((JSON.parse(expected[0] ?? "") as [string])[0]);
    const after = await nodesNow();
    for (const { name, slices } of before.filter(({ role }) => role === "node")) {
      expect(after.find((other) => other.name === name)?.slices.fetched).toBe(slices.fetched);
    }
    expect(
      after
        .filter(({ alive }) => alive)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["a", "b", "server"]);
  });
});
