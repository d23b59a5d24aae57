/** A node that runs ranks: what it takes from whom, what it refuses, and when its ranks end. */

import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openCluster } from "../../src/app/mod.ts";
import { connectPeer } from "../../src/cluster/link/mod.ts";
import {
  Agent,
  askNode,
  ClusterNode,
  type ControlStore,
  MemoryStore,
  modelCosts,
  NO_DEGREES,
  NO_SLICES,
  type NodeRecord,
  offersOf,
  openOnNodes,
  type PlacedRuntime,
  planCluster,
  TIMING_DEFAULT,
  workEpoch,
} from "../../src/cluster/mod.ts";
import { createRuntime, openDevice } from "../../src/engine/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { describePreset, type OpenedFile, proportionalPlacement } from "../../src/model/mod.ts";
import { makeFolder, repository } from "../cli/claw.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { answersOf, BATCH, CONTEXT, ROWS, randomQuestions } from "./answers.ts";
import { ucxMissing } from "./link/ucx.ts";
import { until } from "./until.ts";

const folder = makeFolder();
const secret = new Uint8Array(randomBytes(32));
const root = "ab".repeat(32);
const timing = { ...TIMING_DEFAULT, leaseMs: 2000 };
const clock = (): number => performance.now();
const engine = { driver: "tcp", host: "127.0.0.1", port: 1 } as const;
const slices = null;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const life = (): string => randomBytes(8).toString("hex");
const descriptionOf = (name: string) => ({
  ...{ name, memoryBytes: 1e9, kvBytesPerSecond: 1e10, layerSeconds: 1e-5 },
  formats: { i8: { bytesPerSecond: 1e10, multiplyAddsPerSecond: 1e11 } },
});

interface Running {
  readonly root?: string;
  readonly model?: string;
  /** What its ranks are run by; undefined: processes that only wait. */
  readonly command?: readonly string[];
  readonly trustedNetwork?: boolean;
}

interface Started {
  readonly node: ClusterNode;
  readonly notes: string[];
  /** What its ranks were told. */
  told(): string;
}

async function start(store: ControlStore, name: string, running: Running = {}): Promise<Started> {
  const notes: string[] = [];
  const told = join(folder, `${name}-${life()}`);
  const node = await ClusterNode.join({
    ...{ store, secret, clock, timing, life: life(), description: descriptionOf(name) },
    models: [{ root: running.root ?? root, name: "model", path: running.model ?? "/models/model.gguf" }],
    ...{ listen: { host: "127.0.0.1", port: 0 }, threads: 1, trustedNetwork: running.trustedNetwork },
    command: running.command ?? ["sh", "-c", `cat >>${told}; exec sleep 60`, "claw"],
    onNote: (text) => notes.push(text),
  });
  closing.push(() => node.close());
  return { node, notes, told: () => (existsSync(told) ? readFileSync(told, "utf8") : "") };
}

/** Somebody who only looks. */
async function watcher(store: ControlStore): Promise<Agent> {
  const agent = await Agent.start({ store, secret, clock, timing, self: undefined, plan: () => {} });
  closing.push(() => agent.stop());
  return agent;
}

function recordOf(agent: Agent, name: string): NodeRecord | undefined {
  return agent.status().peers.find(({ node, alive }) => alive && node === name)?.record;
}

const asker = { name: "owner", secret };

describe.skipIf(!nativeAvailable())("a node (skipped where no native core is built)", () => {
  test("measures its links, and says what it has; plans come of it", async () => {
    const store = new MemoryStore();
    const agent = await watcher(store);
    for (const name of ["a", "b", "c"]) await start(store, name);
    const links = (): number => agent.status().peers.flatMap(({ record }) => record.links).length;
    await until(() => links() === 3);
    const records = agent.status().peers.map(({ record }) => record);
    const { cluster, excluded } = offersOf(records);
    expect(excluded).toEqual({});
    expect(cluster.links.map(({ between }) => between)).toEqual([
      ["a", "b"],
      ["a", "c"],
      ["b", "c"],
    ]);
    for (const link of cluster.links) {
      expect(link.latencySeconds).toBeGreaterThan(1e-7);
      expect(link.latencySeconds).toBeLessThan(1);
      expect(link.bytesPerSecond).toBeGreaterThan(1e6);
      expect(link.bytesPerSecond).toBeLessThan(1e12);
    }
    const load = { rows: 1, context: 1024, format: "i8", kvFormat: "f16" } as const;
    const { plan } = planCluster(cluster, modelCosts(describePreset("llama-1b"), load));
    expect(plan.stages.flatMap(({ ranks }) => ranks).length).toBeGreaterThan(1);
  });

  test("runs ranks of the newest holder alone; a rank that dies takes nothing with it", async () => {
    const store = new MemoryStore();
    const agent = await watcher(store);
    const { node, told } = await start(store, "a");
    const work = () => recordOf(agent, "a")?.work;
    const ask = (epoch: number, rank: number): Promise<void> =>
      askNode(node.address, asker, { kind: "start", epoch, rank, root, engine, slices });
    const first = workEpoch(3, 0);
    await ask(first, 0);
    await ask(first, 1);
    await until(() => work()?.ranks.join() === "0,1");
    const terms = told().split("}{")[0] ?? "";
    expect(terms).toContain('"model":"/models/model.gguf"');
    expect(terms).toContain(Buffer.from(secret).toString("hex"));
    // The same holder's next runtime begins beside the one that runs.
    await ask(workEpoch(3, 1), 0);
    await until(() => work()?.ranks.join() === "0,1,0" && work()?.epoch === workEpoch(3, 1));
    await expect(ask(workEpoch(3, 1), 0)).rejects.toMatchObject({ code: "E_NODE" });
    await askNode(node.address, asker, { kind: "end", epoch: first, patienceMs: 0 });
    await until(() => work()?.ranks.join() === "0");
    // Another holder: what worked for the one before it ends, and that one's late words are refused.
    await ask(workEpoch(4, 0), 2);
    await until(() => work()?.ranks.join() === "2");
    await expect(ask(workEpoch(3, 2), 1)).rejects.toMatchObject({ code: "E_NODE" });
    expect(work()?.ranks).toEqual([2]);
    await node.close();
    expect(node.status().self).toBe("left");
    await until(() => agent.status().peers.length === 0);
  });

  test("links its ranks by UCX only on a network that was declared trusted", async () => {
    const store = new MemoryStore();
    const overUcx = { driver: "ucx", host: "127.0.0.1", port: 9 } as const;
    const request = {
      kind: "start",
      epoch: workEpoch(1, 0),
      rank: 0,
      root,
      engine: overUcx,
      slices,
    } as const;
    const wary = await start(store, "a");
    await expect(askNode(wary.node.address, asker, request)).rejects.toMatchObject({
      code: "E_NODE",
      message: expect.stringContaining("--trusted-network"),
    });
    expect(wary.node.ranks).toEqual([]);
    const trusting = await start(store, "b", { trustedNetwork: true });
    await askNode(trusting.node.address, asker, request);
    await until(() => trusting.node.ranks.length === 1);
    await until(() => trusting.told().includes('"driver":"ucx","host":"127.0.0.1","port":0'));
  });

  test("a server refuses UCX on a network that was not declared trusted", async () => {
    const options = { clusterControl: "nats://127.0.0.1:1", clusterSecretFile: "none", clusterLink: "ucx" };
    const opening = openCluster(
      { ...options, clusterTrustedNetwork: false } as Parameters<typeof openCluster>[0],
      {} as Parameters<typeof openCluster>[1],
    );
    await expect(opening).rejects.toMatchObject({
      code: "E_CONFIG",
      message: expect.stringContaining("cluster.trusted_network"),
    });
  });

  test("ends ranks of a holder that was overtaken, though nobody tells it", async () => {
    const store = new MemoryStore();
    const agent = await watcher(store);
    const { node } = await start(store, "a");
    await askNode(node.address, asker, {
      kind: "start",
      epoch: workEpoch(1, 0),
      rank: 0,
      root,
      engine,
      slices,
    });
    const server = await Agent.start({
      ...{
        store,
        secret,
        clock,
        timing,
        plan: (_, done) => done({ plan: null, problem: "none", degrees: NO_DEGREES }),
      },
      self: {
        ...{ life: life(), role: "server", address: null, description: descriptionOf("s"), links: [] },
        ...{ models: [], draining: false, work: { epoch: 0, ranks: [] }, refused: {} },
        ...{ fetches: false, slices: NO_SLICES },
        dialect: { protocol: 1, arithmetic: 1 },
      },
    });
    closing.push(() => server.stop());
    await until(() => server.status().active);
    // The first epoch is this server's own; one that comes after it is another's.
    const { epoch } = server.status().state!;
    expect(recordOf(agent, "a")?.work.ranks).toEqual([0]);
    server.stop();
    const next = await Agent.start({
      ...{
        store,
        secret,
        clock,
        timing,
        plan: (_, done) => done({ plan: null, problem: "none", degrees: NO_DEGREES }),
      },
      self: { ...recordOf(agent, "a")!, life: life(), role: "server", description: descriptionOf("t") },
    });
    closing.push(() => next.stop());
    await until(() => next.status().active);
    expect(next.status().state!.epoch).toBeGreaterThan(epoch);
    await until(() => recordOf(agent, "a")?.work.ranks.length === 0);
  });

  test("refuses what it has no model for, what it cannot read, and everything once it is drained", async () => {
    const store = new MemoryStore();
    const agent = await watcher(store);
    const { node, notes } = await start(store, "a");
    const begin = { kind: "start", epoch: workEpoch(1, 0), rank: 0, root, engine, slices } as const;
    const other = askNode(node.address, asker, { ...begin, root: "cd".repeat(32) });
    await expect(other).rejects.toMatchObject({ code: "E_NODE", message: expect.stringContaining("cdcd") });
    await askNode(node.address, asker, begin);
    await askNode(node.address, asker, { kind: "drain" });
    await until(() => recordOf(agent, "a")?.draining === true);
    const late = askNode(node.address, asker, { ...begin, rank: 1 });
    await expect(late).rejects.toMatchObject({ code: "E_NODE", message: expect.stringContaining("drained") });
    expect(offersOf([recordOf(agent, "a")!]).excluded).toEqual({ a: "it is drained" });
    // It stays for the rank that runs, and leaves after it.
    await sleep(500);
    expect(node.status().self).toBe("member");
    await askNode(node.address, asker, { kind: "end", epoch: begin.epoch, patienceMs: 0 });
    await node.run();
    expect(node.status().self).toBe("left");
    expect(notes.filter((text) => text.startsWith("Refused"))).toEqual([]);
  });

  test("strangers, other versions and garbage are refused with a reason and counted, and it goes on", async () => {
    const store = new MemoryStore();
    const agent = await watcher(store);
    const { node, notes } = await start(store, "a");
    const address = { driver: "tcp", ...node.address } as const;
    const refused = (): number =>
      Object.values(recordOf(agent, "a")?.refused ?? {}).reduce((sum, count) => sum + count, 0);
    const stranger = { node: "x", secret: new Uint8Array(32), epoch: 0 };
    await expect(connectPeer(address, stranger)).rejects.toMatchObject({ code: "E_LINK_PEER" });
    await expect(connectPeer(address, { node: "x", secret, epoch: 7 })).rejects.toMatchObject({
      code: "E_LINK_PEER",
    });
    // A frame of another version, no frame at all, and a process that connects and goes.
    const frame = Buffer.alloc(32);
    frame.write("CLNK");
    frame.writeUInt16LE(99, 4);
    for (const bytes of [frame, randomBytes(2000), Buffer.alloc(0)]) await throwAt(node.address.port, bytes);
    await until(() => refused() >= 5);
    // Members that say what none says: no JSON, no request, one too large.
    for (const words of ["{", '{"kind":"start"}', '"x"', "[]".repeat(20_000)]) {
      const { link } = await connectPeer(address, { node: "y", secret, epoch: 0 });
      await link.send(Buffer.from(words), { spinMicros: 50, limitMs: 5000 });
      await link.receive(new Uint8Array(100), { spinMicros: 50, limitMs: 5000 }).catch(() => {});
      await link.close();
    }
    await until(() => refused() >= 9);
    const told = notes.join("\n");
    for (const reason of ["secret", "epoch 7", "another version", "no JSON", "no node of this version"]) {
      expect(told).toContain(reason);
    }
    await askNode(node.address, asker, { kind: "end", epoch: 1, patienceMs: 0 });
  });
});

describe.skipIf(!nativeAvailable())("ranks on nodes (skipped where no native core is built)", () => {
  const command = ["env", `XDG_CACHE_HOME=${folder}`, join(repository, "claw")];
  const sizes = { format: "i8", context: CONTEXT, batch: BATCH, rows: ROWS } as const;
  let tiny: TinyModel;

  beforeAll(() => {
    tiny = tinyModel(3);
  });

  afterAll(() => tiny.remove());

  /** Three nodes with files of their own, what they are to run as four ranks, and what one process answers. */
  async function threeNodes() {
    const { model } = tiny;
    const { vocabulary } = model.description;
    const questions = randomQuestions(vocabulary, new Random(9));
    const { device } = await openDevice({ device: "auto", threads: 1 });
    const expected = await answersOf(await createRuntime(device, model, sizes), vocabulary, questions);
    device.close();
    const store = new MemoryStore();
    const names = ["a", "b", "c"];
    const started = await Promise.all(
      names.map((name) => {
        // Where the owner's path leads nowhere on this host.
        const own = join(folder, `${name}.gguf`);
        copyFileSync(tiny.path, own);
        return start(store, name, { command, model: own, trustedNetwork: true });
      }),
    );
    const elsewhere = { ...model, source: { ...model.source, name: "/nowhere.gguf" } } as OpenedFile;
    const placement = proportionalPlacement(model.description, { stages: [2, 1], shards: [1, 1] });
    const nodes = [0, 1, 2, 0].map((index) => {
      const { node } = started[index]!;
      return { name: names[index]!, life: "", address: node.address };
    });
    const options = {
      ...{ ...sizes, placement, nodes, asker, root, host: "127.0.0.1", threads: 1, microBatchRows: 4 },
      device: "auto",
    } as const;
    const expectAnswers = async (runtime: PlacedRuntime): Promise<void> => {
      expect(started.map(({ node }) => node.ranks.length)).toEqual([2, 1, 1]);
      expect(await answersOf(runtime, vocabulary, questions)).toEqual(expected);
      expect(runtime.executable.cutSteps).toBeGreaterThan(0);
      await runtime.close();
    };
    const allEnded = (): Promise<void> => until(() => started.every(({ node }) => node.ranks.length === 0));
    return { elsewhere, options, started, expectAnswers, allEnded };
  }

  test("answer as one process does, each from its own file, and fail as a node that cannot start one says", async () => {
    const { elsewhere, options, started, expectAnswers, allEnded } = await threeNodes();
    await expectAnswers(await openOnNodes(elsewhere, { ...options, epoch: workEpoch(2, 0) }));
    await allEnded();
    // One node of an older plan, and one that is gone: whoever did start ends again.
    const old = openOnNodes(elsewhere, { ...options, epoch: workEpoch(1, 0) });
    await expect(old).rejects.toMatchObject({
      code: "E_LINK",
      message: expect.stringContaining("was seen since"),
    });
    await started[1]!.node.close();
    const gone = openOnNodes(elsewhere, { ...options, epoch: workEpoch(2, 1) });
    await expect(gone).rejects.toMatchObject({
      code: "E_LINK",
      node: expect.objectContaining({ name: "b" }),
    });
    await allEnded();
  });

  test.skipIf(ucxMissing() !== "")(`answer so over UCX, too${ucxMissing()}`, async () => {
    const { elsewhere, options, expectAnswers, allEnded } = await threeNodes();
    await expectAnswers(await openOnNodes(elsewhere, { ...options, driver: "ucx", epoch: workEpoch(2, 0) }));
    await allEnded();
  });
});

/** Connects, says something and goes. */
async function throwAt(port: number, bytes: Buffer): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  await new Promise((resolve) => socket.end(bytes, () => resolve(undefined)));
  await Promise.race([new Promise((resolve) => socket.once("close", resolve)), sleep(3000)]);
  socket.destroy();
}

describe("who may take part", () => {
  const record = (name: string, change: Partial<NodeRecord> = {}): NodeRecord => ({
    ...{ version: 3, life: life(), beat: 1, edition: 0, role: "node", draining: false, links: [] },
    ...{ address: { host: "127.0.0.1", port: 1 }, dialect: { protocol: 2, arithmetic: 3 } },
    ...{ description: descriptionOf(name), models: [{ root, name: "m" }], work: { epoch: 0, ranks: [] } },
    ...{ fetches: false, slices: NO_SLICES, refused: {}, ...change },
  });

  test("nodes of the same words with the model, that are not drained; servers never; the slower of two measured ways", () => {
    const way = (between: readonly [string, string], latencySeconds: number, bytesPerSecond: number) => ({
      ...{ between, latencySeconds, bytesPerSecond },
    });
    const records = [
      record("a", { links: [way(["a", "b"], 1, 10), way(["a", "gone"], 1, 1), way(["a", "a"], 1, 1)] }),
      record("b", { links: [way(["b", "a"], 2, 20)] }),
      record("old", { dialect: { protocol: 1, arithmetic: 3 } }),
      record("other", { models: [{ root: "0".repeat(64), name: "m" }] }),
      record("leaving", { draining: true }),
      record("deaf", { address: null }),
      record("server", { role: "server" }),
    ];
    const { cluster, excluded } = offersOf(records, { root, dialect: { protocol: 2, arithmetic: 3 } });
    expect(cluster.nodes.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(cluster.links).toEqual([way(["a", "b"], 2, 10)]);
    expect(excluded).toEqual({
      old: "it speaks protocol 1 and arithmetic 3, the server 2 and 3",
      other: "it does not have the model, and fetches none",
      leaving: "it is drained",
      deaf: "it takes no links",
    });
    expect(offersOf(records).cluster.nodes).toHaveLength(4);
  });
});
