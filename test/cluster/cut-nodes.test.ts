/** Nodes of a server's model behind a network that is cut: packets are dropped in silence, nobody is told. Needs root, for network namespaces. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository } from "../cli/claw.ts";
import { canJoin, joinMissing, makeClusterFolder } from "./cluster-folder.ts";
import { rankPids } from "./rank-pids.ts";
import { until } from "./until.ts";

const HUB = `claw-hub-${process.pid}`;
const NODES = ["a", "b", "c"] as const;
const HUB_ADDRESS = "10.79.0.1";
const TOKENS = 200;
/** Until a stream has to go on after the cut: a lease runs out, or a link is given up (5 s), and a plan is made. */
const DEADLINE_MS = 12_000;

const space = (name: string): string => `claw-${name}-${process.pid}`;
const addressOf = (name: string): string => `10.79.0.${2 + NODES.indexOf(name as "a")}`;
const ip = (words: string): boolean => spawnSync("ip", words.split(" ")).status === 0;

/** A switch in a namespace of its own, and each node on a wire to it; the machine's own network is not touched. */
function begin(): boolean {
  const hub = [
    `netns add ${HUB}`,
    `-n ${HUB} link set lo up`,
    `-n ${HUB} link add hub type bridge`,
    `-n ${HUB} addr add ${HUB_ADDRESS}/24 dev hub`,
    `-n ${HUB} link set hub up`,
  ];
  const nodes = NODES.flatMap((name) => [
    `netns add ${space(name)}`,
    `link add wire netns ${space(name)} type veth peer name to-${name} netns ${HUB}`,
    `-n ${HUB} link set to-${name} master hub up`,
    `-n ${space(name)} link set lo up`,
    `-n ${space(name)} addr add ${addressOf(name)}/24 dev wire`,
    `-n ${space(name)} link set wire up`,
  ]);
  return [...hub, ...nodes].every(ip);
}

function end(): void {
  for (const name of [HUB, ...NODES.map(space)]) ip(`netns del ${name}`);
}

const possible = canJoin && begin();
end();
const missing =
  joinMissing || (possible ? "" : " (skipped: no network namespaces here; they need root and iproute2)");

/** Asks, and writes what comes as it comes. */
const CLIENT = `
const [url, body] = process.argv.slice(1);
const headers = { "content-type": "application/json" };
const response = await fetch(url, { method: "POST", headers, body });
for await (const part of response.body) process.stdout.write(part);`;

const { folder, model, secretFile, measurements } = makeClusterFolder(400_000);

class Stream {
  readonly ended: Promise<void>;
  #text = "";

  constructor(child: ChildProcess) {
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#text += text;
    });
    this.ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  get tokens(): readonly unknown[] {
    const events = this.#text.split("\n").filter((line) => line.startsWith("data: {") && line.endsWith("}"));
    return events.map((line) => JSON.parse(line.slice(6)).choices[0]);
  }
}

describe.skipIf(missing !== "")(`nodes whose network is cut${missing}`, () => {
  const children = new Map<string, ChildProcess>();
  const words = new Map<string, string>();
  const store = mkdtempSync(join(tmpdir(), "claw-nats-"));
  const access = ["--control", `nats://${HUB_ADDRESS}:4222`, "--secret-file", secretFile];

  /** Starts something in a namespace, under this name. */
  function start(where: string, name: string, command: readonly string[]): ChildProcess {
    const env = { ...process.env, XDG_CACHE_HOME: join(folder, "cache") };
    const child = spawn("ip", ["netns", "exec", where, ...command], { env });
    children.set(name, child);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (part) => words.set(name, (words.get(name) ?? "") + String(part)));
    }
    return child;
  }

  const says = (name: string, what: string): Promise<void> =>
    until(() => words.get(name)?.includes(what) === true);
  const claw = join(repository, "claw");

  beforeAll(async () => {
    expect(begin()).toBe(true);
    start(HUB, "nats", ["nats-server", "-a", HUB_ADDRESS, "-p", "4222", "-js", "-sd", store]);
    await says("nats", "Server is ready");
    for (const name of NODES) {
      const own = ["--name", name, "--listen", `${addressOf(name)}:7400`, "--threads", "1"];
      const has = ["--measurements", measurements, "--model", model];
      start(space(name), name, [claw, "node", "join", ...access, ...own, ...has]);
    }
    await Promise.all(NODES.map((name) => says(name, "takes links at")));
    const config = join(folder, "server.json");
    const control = { control: access[1], secret_file: secretFile, name: "server", host: HUB_ADDRESS };
    const sizes = { threads: 1, max_batch_size: 4, context: 256, port: 8080, authentication: false };
    writeFileSync(config, JSON.stringify({ model, ...sizes, cluster: { ...control, compute: "nodes" } }));
    start(HUB, "server", [claw, "serve", "--config", config]);
    await says("server", "serves tiny");
  }, 90_000);

  afterAll(() => {
    for (const pid of [HUB, ...NODES.map(space)].flatMap(pidsIn)) process.kill(pid, "SIGKILL");
    end();
    rmSync(store, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });

  let streams = 0;

  function ask(prompt: string): Stream {
    const sampling = { temperature: 0.9, seed: 5, logprobs: 1, max_tokens: TOKENS };
    const body = JSON.stringify({ model: "tiny", prompt, stream: true, ...sampling });
    const client = ["--input-type=module", "-e", CLIENT, "http://127.0.0.1:8080/v1/completions", body];
    streams++;
    return new Stream(start(HUB, `client ${streams}`, [process.execPath, ...client]));
  }

  interface Status {
    readonly nodes: readonly { readonly name: string; readonly alive: boolean }[];
    readonly plan: {
      readonly plan: { readonly stages: readonly { readonly ranks: readonly { node: string }[] }[] };
    };
  }

  function status(): Status {
    const command = ["netns", "exec", HUB, claw, "cluster", "status", ...access, "--json"];
    return JSON.parse(spawnSync("ip", command, { encoding: "utf8" }).stdout) as Status;
  }

  const planned = ({ plan }: Status): string[] =>
    plan.plan.stages.flatMap(({ ranks }) => ranks.map(({ node }) => node));

  test("are replaced while a stream is under way, and no token differs", { timeout: 60_000 }, async () => {
    const whole = ask("Once upon a time");
    await whole.ended;
    expect(whole.tokens.length).toBeGreaterThanOrEqual(TOKENS);
    const before = planned(status());
    const [victim = ""] = before;
    expect(new Set(before).size).toBeGreaterThan(1);
    const stream = ask("Once upon a time");
    await until(() => stream.tokens.length > 10);
    expect(ip(`-n ${space(victim)} link set wire down`)).toBe(true);
    const [cut, had] = [performance.now(), stream.tokens.length];
    await until(() => stream.tokens.length > had + 20);
    const gapMs = performance.now() - cut;
    await stream.ended;
    expect(had).toBeLessThan(TOKENS - 30);
    expect(gapMs).toBeLessThan(DEADLINE_MS);
    expect(stream.tokens).toEqual(whole.tokens);
    const after = status();
    expect(planned(after)).not.toContain(victim);
    expect(after.nodes.filter(({ alive }) => alive).map(({ name }) => name)).not.toContain(victim);
    // Who is cut off computes for nobody, and ends its ranks.
    await until(() => rankPids(children.get(victim)?.pid ?? 0).length === 0);
  });
});

function pidsIn(name: string): number[] {
  const { stdout } = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" });
  return stdout.split("\n").filter(Boolean).map(Number);
}
