/** Nodes as processes over NATS, as `claw node join` starts them and `claw cluster` shows them. */

import type { ChildProcess } from "node:child_process";
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Agent, makeClusterSecret, openControl, TIMING_DEFAULT } from "../../src/cluster/mod.ts";
import { claw, exitOf, start } from "../cli/claw.ts";
import { canJoin, joinMissing, makeClusterFolder } from "./cluster-folder.ts";
import { NatsServer } from "./nats-server.ts";
import { until } from "./until.ts";

const { folder, model, secretFile, measurements } = makeClusterFolder(1e6);

describe.skipIf(!canJoin)(`nodes as processes${joinMissing}`, () => {
  const server = new NatsServer();
  const watching: (() => Promise<void>)[] = [];
  const children = new Set<ChildProcess>();
  let bucket: readonly string[] = [];
  let buckets = 0;

  beforeAll(() => server.start());
  afterAll(() => server.remove());
  afterEach(async () => {
    for (const end of watching.splice(0)) await end();
    for (const child of children) child.kill("SIGKILL");
    children.clear();
  });

  const access = (secret = secretFile): string[] => [
    ...["--control", `nats://${server.address}`, "--secret-file", secret, ...bucket],
  ];

  /** Starts a node; resolves when it has joined. */
  async function node(name: string, ...more: readonly string[]): Promise<ChildProcess> {
    const args = ["--name", name, "--measurements", measurements, "--model", model];
    const child = start(["node", "join", ...access(), ...args, ...more]);
    children.add(child);
    let words = "";
    child.stdout?.on("data", (part) => {
      words += part;
    });
    await until(() => words.includes(`Node ${name} takes links at 127.0.0.1:`));
    return child;
  }

  /** Looks on without joining: quicker than a command. */
  async function watch(): Promise<Agent> {
    const access = { credentialsFile: undefined, tlsCa: undefined, tlsCert: undefined, tlsKey: undefined };
    const control = await openControl({
      ...{ ...access, control: server.address, secretFile, bucket: bucket[1] ?? "" },
    });
    const clock = (): number => performance.now();
    const looking = { timing: TIMING_DEFAULT, clock, self: undefined, plan: () => {} };
    const agent = await Agent.start({ ...control, ...looking });
    watching.push(async () => {
      agent.stop();
      await control.store.close();
    });
    return agent;
  }

  interface Shown {
    readonly name: string;
    readonly alive: boolean;
    readonly draining: boolean;
    readonly links: readonly unknown[];
    readonly models: readonly { readonly root: string; readonly name: string }[];
    readonly refused: Readonly<Record<string, number>>;
  }

  async function status(): Promise<{ nodes: Shown[]; dropped: Record<string, number> }> {
    const { stdout, stderr } = await claw(["cluster", "status", ...access(), "--json"]);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout);
  }

  test("join, measure their links, are planned for, drain, and are missed when they are killed", async () => {
    bucket = ["--bucket", `join-${buckets++}`];
    const [a, b] = await Promise.all([node("a"), node("b", "--memory", "5000000"), node("c")]);
    const watcher = await watch();
    const peers = () => watcher.status().peers;
    await until(() => peers().flatMap(({ record }) => record.links).length === 3);
    const { nodes, dropped } = await status();
    expect(nodes.map(({ name, alive }) => [name, alive])).toEqual([
      ["a", true],
      ["b", true],
      ["c", true],
    ]);
    expect(nodes.map(({ models }) => models)).toEqual(
      nodes.map(() => [{ root: expect.any(String), name: "tiny" }]),
    );
    expect(new Set(nodes.map(({ models }) => models[0]?.root)).size).toBe(1);
    expect(dropped).toEqual({});
    const plan = ["cluster", "plan", ...access(), "--model", model, "--context", "64", "--json"];
    const [{ stdout }, shown] = await Promise.all([claw(plan), claw(["cluster", "status", ...access()])]);
    const planned = JSON.parse(stdout);
    expect(planned.plan.stages.length).toBeGreaterThan(0);
    expect(shown.stdout).toMatch(/Holder +none: no server is there/);
    expect(shown.stdout).toMatch(
      / b +node, alive; 127\.0\.0\.1:\d+; 4\.8 MiB for weights and KV cache; tiny/,
    );
    const drained = await claw(["cluster", "drain", "a", ...access()]);
    expect([drained.status, drained.stdout]).toEqual([0, "a has left.\n"]);
    expect(a?.exitCode ?? (await exitOf(a as ChildProcess))).toBe(0);
    b?.kill("SIGKILL");
    await until(() => {
      return (
        peers()
          .map(({ node: name, alive }) => `${name} ${alive}`)
          .join() === "b false,c true"
      );
    });
    const missing = await claw(["cluster", "drain", "a", ...access()]);
    expect([missing.status, missing.stderr]).toEqual([
      1,
      expect.stringContaining("There is no living node a; there are c."),
    ]);
  });

  test("a name that is taken, another secret, an open one, and addresses nobody reaches are refused", async () => {
    bucket = ["--bucket", `refuse-${buckets++}`];
    await node("a");
    const attempt = (secret: string, ...more: readonly string[]) =>
      claw(["node", "join", ...access(secret), "--measurements", measurements, ...more]);
    const open = join(folder, "open");
    copyFileSync(secretFile, open);
    chmodSync(open, 0o644);
    const other = join(folder, "other");
    makeClusterSecret(other);
    const stranger = start(["node", "join", ...access(other), "--measurements", measurements, "--name", "x"]);
    children.add(stranger);
    const [taken, readable, everywhere] = await Promise.all([
      attempt(secretFile, "--name", "a"),
      attempt(open, "--name", "b"),
      attempt(secretFile, "--name", "b", "--listen", "0.0.0.0:0"),
    ]);
    expect([taken.status, taken.stderr]).toEqual([1, expect.stringContaining("The name a is taken")]);
    expect([readable.status, readable.stderr]).toEqual([1, expect.stringContaining("open to other users")]);
    expect([everywhere.status, everywhere.stderr]).toEqual([2, expect.stringContaining("0.0.0.0")]);
    // Whoever has another secret writes what no member reads, and cannot measure or be measured.
    const watcher = await watch();
    await until(() => (watcher.status().dropped["was written by no member"] ?? 0) > 0);
    expect((await status()).nodes.map(({ name }) => name)).toEqual(["a"]);
  });
});
