/** `examples/cluster/namespaces.sh` as an operator runs it: the report of a whole run, and what is left where one was interrupted. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { exitOf, repository } from "../cli/claw.ts";
import { joinMissing } from "./cluster-folder.ts";
import { until } from "./until.ts";

const script = join(repository, "examples/cluster/namespaces.sh");
const TOKENS = 8;
/** The scripts' own temporary folders are in it. */
const folder = mkdtempSync(join(tmpdir(), "claw-namespaces-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));

const runs = (program: string, ...words: readonly string[]): boolean =>
  spawnSync(program, words, { stdio: "ignore" }).status === 0;

/** A namespace and a device of it, as the script makes them. */
function canMakeNetworks(): boolean {
  const name = `claw-try-${process.pid}`;
  const made = runs("ip", "netns", "add", name) && existsSync("/dev/net/tun");
  runs("ip", "netns", "del", name);
  return made && runs("g++", "--version");
}

const networkMissing =
  joinMissing || (canMakeNetworks() ? "" : " (skipped: needs root, ip netns, /dev/net/tun and g++)");

class Run {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  words = "";

  constructor(...flags: readonly string[]) {
    const env = { ...process.env, TMPDIR: folder };
    const args = ["--preset", "llama-tiny", "--tokens", String(TOKENS), "--pipeline", "3", ...flags];
    this.child = spawn(script, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.exited = exitOf(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.words += text;
      });
    }
  }

  /** Namespaces, devices, groups of processes and temporary files that bear its name, and processes that were started in it. */
  left(): string[] {
    const tag = `claw${this.child.pid}`;
    const named = [...lines("ip", "netns", "list"), ...lines("ip", "-o", "link")].filter((line) =>
      line.includes(tag),
    );
    const groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].flatMap((base) =>
      existsSync(base) ? readdirSync(base).filter((name) => name.startsWith(`${tag}-`)) : [],
    );
    return [...named, ...groups, ...readdirSync(folder), ...startedIn(folder)];
  }
}

const lines = (program: string, ...words: readonly string[]): string[] =>
  (spawnSync(program, words, { encoding: "utf8" }).stdout ?? "").split("\n");

/** Processes whose temporary folder is this one, with their commands. */
function startedIn(place: string): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      return environment.includes(`TMPDIR=${place}`) && command !== "" ? [`${pid}: ${command}`] : [];
    } catch {
      return []; // it has ended
    }
  });
}

/** What the report has to say, whatever network it ran over. */
function expectReport({ words }: Run): void {
  // It throws where an answer has other than TOKENS tokens.
  const rate = Number(/Measured: ([\d.]+) tokens\/s/.exec(words)?.[1]);
  expect(rate, words).toBeGreaterThan(0);
  expect(words).toMatch(/Text: ".+"\.\.\./);
  const [, waits, messages, bytes] =
    /A step: ([\d.]+) waits between ranks for ([\d.]+) messages of ([\d.]+) bytes/.exec(words) ?? [];
  // Three stages: two hops, each of one message.
  expect([Number(waits), Number(messages)]).toEqual([2, 2]);
  expect(Number(bytes)).toBeGreaterThan(0);
  const shares = [...words.matchAll(/The rank on (\w+) has mapped .* MB, (-?[\d.]+) % of its slice/g)];
  expect(shares.map(([, node]) => node).sort()).toEqual(["alder", "birch", "cedar"]);
  for (const [, , share] of shares) expect(Number(share)).toBeLessThanOrEqual(105);
}

describe.skipIf(networkMissing !== "")(`three nodes in network namespaces${networkMissing}`, () => {
  test("serve a model, report what they do, and leave nothing", { timeout: 120_000 }, async () => {
    // One layer's weights for all, which leaves out that one node alone is too small: the smallest shape is not.
    const run = new Run("--shared-layers", "--delay", "200");
    expect(await run.exited, run.words).toBe(0);
    expect(run.words).toMatch(/A network by (netem|wire): 1000 Mbit\/s each way, 200 us one way/);
    expectReport(run);
    // Every message is late by what was asked for, at least.
    const late = [...run.words.matchAll(/: ([\d.]+) ms one way/g)].map(([, ms]) => Number(ms));
    expect(late).toHaveLength(3);
    for (const ms of late) expect(ms).toBeGreaterThanOrEqual(0.19);
    await until(() => run.left().length === 0);
  });

  test("leave nothing where they are interrupted", { timeout: 120_000 }, async () => {
    const run = new Run("--shared-layers");
    await until(() => run.words.includes("NATS, and three nodes that join"));
    expect(run.left().length).toBeGreaterThan(4);
    run.child.kill("SIGTERM");
    expect(await run.exited).not.toBe(0);
    await until(() => run.left().length === 0);
  });
});
