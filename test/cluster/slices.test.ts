/** Nodes that lack the model: they fetch what their ranks read, check it, and answer as one process does. */

import { randomBytes } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  askNode,
  ClusterNode,
  ExchangeThread,
  MemoryStore,
  openOnNodes,
  openSlices,
  type SliceCounts,
  SliceHost,
  TIMING_DEFAULT,
  workEpoch,
} from "../../src/cluster/mod.ts";
import { createRuntime, openDevice } from "../../src/engine/mod.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import {
  compile,
  type ModelSeal,
  measureSeal,
  type OpenedFile,
  type Placement,
  proportionalPlacement,
  type RankProgram,
} from "../../src/model/mod.ts";
import { makeFolder, repository } from "../cli/claw.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { answersOf, BATCH, CONTEXT, ROWS, randomQuestions } from "./answers.ts";
import { SliceHosts } from "./slice-hosts.ts";
import { until } from "./until.ts";

const folder = makeFolder();
const secret = new Uint8Array(randomBytes(32));
const timing = { ...TIMING_DEFAULT, leaseMs: 2000 };
const host = "127.0.0.1";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Bytes of the file that a program's matrices and norms stand for, by the model's shapes alone. */
function sliceBytes({ gguf }: OpenedFile, { matrices, vectors }: RankProgram): number {
  const sizeOf = (name: string): number => gguf.tensors.get(name)?.byteLength ?? 0;
  const slices = new Map(
    matrices.map(({ name, rows, segments, rowRange, segmentRange }) => {
      const part = ((rowRange[1] - rowRange[0]) * (segmentRange[1] - segmentRange[0])) / (rows * segments);
      return [JSON.stringify([name, rowRange, segmentRange]), sizeOf(name) * part];
    }),
  );
  const norms = vectors.filter((vector) => typeof vector === "string").map(sizeOf);
  return [...slices.values(), ...norms].reduce((sum, bytes) => sum + bytes, 0);
}

describe.skipIf(!nativeAvailable())("nodes without the model (skipped where no native core is built)", () => {
  const command = ["env", `XDG_CACHE_HOME=${folder}`, join(repository, "claw")];
  const sizes = { format: "i8", context: CONTEXT, batch: BATCH, rows: ROWS } as const;
  const asker = { name: "owner", secret };
  let tiny: TinyModel;
  let seal: ModelSeal;

  beforeAll(async () => {
    tiny = tinyModel(3);
    seal = await measureSeal(tiny.path);
  });

  afterAll(() => tiny.remove());

  async function start(store: MemoryStore, name: string, has = false): Promise<ClusterNode> {
    const node = await ClusterNode.join({
      ...{ store, secret, clock: () => performance.now(), timing, life: randomBytes(8).toString("hex") },
      description: {
        ...{ name, memoryBytes: 1e9, kvBytesPerSecond: 1e10, layerSeconds: 1e-5 },
        formats: { i8: { bytesPerSecond: 1e10, multiplyAddsPerSecond: 1e11 } },
      },
      models: has ? [{ root: seal.root, name: "tiny", path: tiny.path, seal }] : [],
      fetch: { folder: join(folder, name), bytesMax: 10_000_000 },
      ...{ listen: { host, port: 0 }, threads: 1, command, onNote: () => {} },
    });
    closing.push(() => node.close());
    return node;
  }

  function countsOf(nodes: readonly ClusterNode[], name: string): SliceCounts | undefined {
    const found = nodes.flatMap((node) => node.status().peers).find(({ node }) => node === name);
    return found?.record.slices;
  }

  /** Nobody hands out what it has not, or has a part of; a server's thread does nothing else; strangers get nothing. */
  async function expectRefusals(nodes: readonly ClusterNode[], trusted: ExchangeThread): Promise<void> {
    const other = "cd".repeat(32);
    for (const [{ address }, root] of [
      [nodes[0]!, other],
      [nodes[1]!, seal.root],
      [trusted, other],
    ] as const) {
      await expect(openSlices(address, asker, root)).rejects.toMatchObject({ code: "E_NODE" });
    }
    const drained = askNode(trusted.address, asker, { kind: "drain" });
    await expect(drained).rejects.toMatchObject({ code: "E_NODE" });
    const stranger = { name: "x", secret: new Uint8Array(32) };
    const stolen = openSlices(trusted.address, stranger, seal.root);
    await expect(stolen).rejects.toMatchObject({ code: "E_LINK_PEER" });
  }

  test("fetch their slices and nothing more, from who has it, and answer as one process does", async () => {
    const { model } = tiny;
    const { vocabulary } = model.description;
    const questions = randomQuestions(vocabulary, new Random(9));
    const { device } = await openDevice({ device: "auto", threads: 1 });
    const expected = await answersOf(await createRuntime(device, model, sizes), vocabulary, questions);
    device.close();
    const store = new MemoryStore();
    const names = ["has", "a", "b"];
    const nodes = await Promise.all(names.map((name) => start(store, name, name === "has")));
    let handedOut = 0;
    const trusted = await ExchangeThread.start(
      { host, name: "owner", secret, model: { path: tiny.path, seal }, copies: undefined },
      {
        onHandedOut: (bytes) => {
          handedOut = bytes;
        },
        onNote: () => {},
      },
    );
    closing.push(() => trusted.close());
    // They know each other, and have measured their links: each of those takes threads of the pool that all of them share here.
    const known = (): number =>
      new Set(
        nodes.flatMap((node) =>
          node.status().peers.flatMap(({ record }) => record.links.map(({ between }) => between.join())),
        ),
      ).size;
    await until(() => known() === 3);
    const elsewhere = { ...model, source: { ...model.source, name: "/nowhere.gguf" } } as OpenedFile;
    const placement: Placement = proportionalPlacement(model.description, { stages: [2, 1], shards: [1, 1] });
    const programs = compile(model.description, { format: "i8", placement });
    expect(programs.length).toBe(4);
    // Two stages of two shards: the first and the last on the node that has the file, the others on those that lack it.
    const ranks = [0, 1, 2, 0].map((index) => {
      return { name: names[index]!, life: "", address: nodes[index]!.address };
    });
    const options = {
      ...{ ...sizes, placement, nodes: ranks, asker, root: seal.root, host, threads: 1, microBatchRows: 4 },
      device: "auto" as const,
      ...{ slices: trusted.address },
    } as const;
    const runtime = await openOnNodes(elsewhere, { ...options, epoch: workEpoch(2, 0) });
    expect(await answersOf(runtime, vocabulary, questions)).toEqual(expected);
    const header = model.gguf.dataOffset;
    let fetched = 0;
    for (const [rank, name] of names.entries()) {
      if (name === "has") continue;
      const slice = sliceBytes(model, programs[rank]!);
      expect(slice).toBeLessThan(model.source.size / 2);
      await until(() => (countsOf(nodes, name)?.fetched ?? 0) >= slice);
      const counts = countsOf(nodes, name)!;
      expect(counts.fetched).toBeLessThanOrEqual(1.05 * slice + header);
      expect(counts.fetching).toBeNull();
      fetched += counts.fetched;
      const [file = ""] = readdirSync(join(folder, name));
      const stat = statSync(join(folder, name, file));
      expect(stat.size).toBe(model.source.size);
    }
    await runtime.close();
    await until(() => countsOf(nodes, "has")?.handedOut === fetched);
    expect(handedOut).toBe(0);
    await expectRefusals(nodes, trusted);
  });

  test("whose ranks are killed while they fetch go on with what is missing", async () => {
    const { model } = tiny;
    const { vocabulary } = model.description;
    const questions = randomQuestions(vocabulary, new Random(8));
    const { device } = await openDevice({ device: "auto", threads: 1 });
    const expected = await answersOf(await createRuntime(device, model, sizes), vocabulary, questions);
    device.close();
    const store = new MemoryStore();
    const node = await start(store, "d");
    const hosts = new SliceHosts(secret);
    closing.push(() => hosts.close());
    const [before, after] = [seal, seal].map((own) => new SliceHost([{ path: tiny.path, seal: own }]));
    const stalled = Promise.withResolvers<void>();
    const stalling = hosts.liar("owner", hosts.honest("behind", before!), (_, answer, count) => {
      if (count < 16) return answer;
      stalled.resolve();
      return new Promise(() => {});
    });
    const placement: Placement = proportionalPlacement(model.description, { stages: [1], shards: [1] });
    const ranks = [{ name: "d", life: "", address: node.address }];
    const options = {
      ...{ ...sizes, placement, nodes: ranks, asker, root: seal.root, host, threads: 1, microBatchRows: 4 },
      device: "auto" as const,
    };
    const giveUp = new AbortController();
    const first = openOnNodes(model, {
      ...{ ...options, slices: stalling.address, epoch: workEpoch(2, 0), signal: giveUp.signal },
    });
    first.catch(() => {});
    await stalled.promise;
    expect(node.ranks.length).toBe(1);
    giveUp.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");
    await until(() => node.ranks.length === 0);
    const slices = hosts.honest("owner", after!).address;
    const runtime = await openOnNodes(model, { ...options, slices, epoch: workEpoch(2, 1) });
    expect(await answersOf(runtime, vocabulary, questions)).toEqual(expected);
    await runtime.close();
    const slice = sliceBytes(model, compile(model.description, { format: "i8", placement })[0]!);
    // The header and at least ten tensors were there.
    expect(after!.handedOut).toBeGreaterThan(0);
    expect(after!.handedOut).toBeLessThan(0.8 * slice);
    expect(before!.handedOut + after!.handedOut).toBeLessThan(1.2 * slice + model.gguf.dataOffset);
  });
});
