/** The log over disks that work, lie and lose power; and its tiles against a tree that shares no code with it. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import {
  NOTE_KEY,
  noteVerifier,
  openNote,
  parseCheckpoint,
  toHex,
  utf8,
  verifyInclusion,
} from "../../src/crypto/mod.ts";
import {
  type Disk,
  decodeBundle,
  FileStorage,
  FolderDisk,
  inclusionProof,
  Log,
  type LogOptions,
  newTiles,
  type Placed,
  readOrMakeKey,
  signingKey,
  tilePath,
} from "../../src/ledger/mod.ts";
import { CrashDisk, PowerLoss } from "./crash-disk.ts";
import { MemoryTree } from "./memory-tree.ts";

const ORIGIN = "ledger.example/test";

let folder: string;
let key: ReturnType<typeof signingKey>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-log-"));
  const privateKey = readOrMakeKey(join(folder, "key"), NOTE_KEY.ED25519);
  key = signingKey(privateKey, { name: ORIGIN, type: NOTE_KEY.ED25519, now: () => 0 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function options(disk: Disk): LogOptions {
  return {
    storage: new FileStorage(disk),
    origin: ORIGIN,
    signers: [key],
    verifiers: [noteVerifier(key.vkey)],
  };
}

/** Every entry that the published log holds, read as a stranger would. */
async function publishedEntries(log: Log): Promise<Uint8Array[]> {
  const bundles = newTiles(0, log.checkpoint.size).filter(({ level }) => level === "entries");
  const entries: Uint8Array[] = [];
  for (const name of bundles) entries.push(...(decodeBundle(await log.tile(name)) ?? []));
  return entries;
}

test("paths and widths of tiles are those of the specification's examples", () => {
  expect(tilePath({ level: 3, index: 1_234_067, width: 256 })).toBe("tile/3/x001/x234/067");
  expect(tilePath({ level: 0, index: 273, width: 112 })).toBe("tile/0/273.p/112");
  const of70000 = newTiles(0, 70_000).filter(({ level }) => level !== "entries");
  const partial = of70000.filter(({ width }) => width < 256).map(({ level, width }) => [level, width]);
  expect(of70000.filter(({ width }) => width === 256)).toHaveLength(274);
  expect(partial).toEqual([
    [0, 112],
    [1, 17],
    [2, 1],
  ]);
});

describe("a log in a folder", () => {
  test("keeps entries over restarts; its roots and tiles are those of the definition", async () => {
    const disk = new FolderDisk(join(folder, "kept"));
    const entries = Array.from({ length: 1300 }, (_, i) => utf8(`entry ${i} ${"x".repeat(i % 90)}`));
    const tree = new MemoryTree(entries);
    for (const [first, end] of [
      [0, 1],
      [1, 255],
      [255, 256],
      [256, 900],
      [900, 1300],
    ] as const) {
      const log = await Log.open(options(disk));
      expect(log.size).toBe(first);
      const placed = await Promise.all(entries.slice(first, end).map((entry) => log.add(entry)));
      expect(placed.map(({ index }) => index)).toEqual(
        Array.from({ length: end - first }, (_, i) => first + i),
      );
      // Every other start finds the last entries in the journal alone.
      if (end !== 255) await log.publish();
      expect(await publishedEntries(await Log.open(options(disk)))).toHaveLength(end);
    }
    const log = await Log.open(options(disk));
    expect(log.checkpoint.size).toBe(1300);
    expect(toHex(log.checkpoint.root)).toBe(toHex(tree.root(1300)));
    expect((await publishedEntries(log)).map(toHex)).toEqual(entries.map(toHex));
    for (const index of [0, 255, 256, 1023, 1299]) {
      const proof = await inclusionProof(index, 1300, (name) => log.tile(name));
      verifyInclusion(proof, { leaf: tree.leaf(index), index, size: 1300, root: log.checkpoint.root });
    }
    await disk.close();
  });

  test("checkpoints one by one leave no partial tile beside a full one; proofs of all of them are still had", async () => {
    const disk = new FolderDisk(join(folder, "steady"));
    const log = await Log.open(options(disk));
    const entries = Array.from({ length: 530 }, (_, i) => utf8(`entry ${i}`));
    for (const entry of entries) {
      await log.add(entry);
      await log.publish();
    }
    for (const level of ["entries", "0"]) {
      expect(await disk.list(`tile/${level}`)).toEqual(["000", "001", "002.p"]);
      expect(await disk.list(`tile/${level}/002.p`)).toHaveLength(530 - 512);
    }
    const tree = new MemoryTree(entries);
    for (const size of [1, 200, 256, 300, 511, 530]) {
      const proof = await inclusionProof(size - 1, size, (name) => log.tile(name));
      verifyInclusion(proof, { leaf: tree.leaf(size - 1), index: size - 1, size, root: tree.root(size) });
    }
    await log.close();
  });

  test("refuses altered tiles, a foreign checkpoint and entries out of bounds", async () => {
    const disk = new FolderDisk(join(folder, "altered"));
    const log = await Log.open(options(disk));
    await Promise.all(Array.from({ length: 300 }, (_, i) => log.add(utf8(`entry ${i}`))));
    await log.publish();
    await expect(log.add(new Uint8Array(65_536))).rejects.toMatchObject({ code: "E_PARAMETER" });
    await expect(log.add(new Uint8Array())).rejects.toMatchObject({ code: "E_PARAMETER" });
    const name = tilePath({ level: 0, index: 1, width: 44 });
    const tile = (await disk.read(name)) as Uint8Array;
    await disk.replace(
      name,
      tile.map((byte, i) => (i === 100 ? byte ^ 1 : byte)),
    );
    await expect(Log.open(options(disk))).rejects.toMatchObject({ code: "E_LEDGER" });
    await disk.replace(name, tile);
    await expect(Log.open({ ...options(disk), origin: "other" })).rejects.toMatchObject({ code: "E_LEDGER" });
    const checkpoint = (await disk.read("checkpoint")) as Uint8Array;
    await disk.replace(
      "checkpoint",
      checkpoint.map((byte, i) => (i === ORIGIN.length + 1 ? byte ^ 1 : byte)),
    );
    await expect(Log.open(options(disk))).rejects.toMatchObject({ code: "E_NOTE" });
    await disk.replace("checkpoint", checkpoint);
    expect((await Log.open(options(disk))).size).toBe(300);
    await disk.close();
  });
});

test("a folder has one writer at a time; an unfinished file of a crash goes away", async () => {
  const [first, second] = [new FolderDisk(join(folder, "held")), new FolderDisk(join(folder, "held"))];
  const log = await Log.open(options(first));
  await log.add(utf8("entry"));
  await expect(Log.open(options(second))).rejects.toMatchObject({ code: "E_LEDGER" });
  writeFileSync(join(folder, "held", "unfinished", "7"), "half");
  await log.close();
  await expect(log.add(utf8("late"))).rejects.toMatchObject({ code: "E_LEDGER" });
  const again = await Log.open(options(second));
  expect(again.size).toBe(1);
  expect(existsSync(join(folder, "held", "unfinished", "7"))).toBe(false);
  await again.close();
});

/** A folder on a disk with room for so many more bytes; what does not fit is written in part, as the system does. */
class FullDisk extends FolderDisk {
  room = Number.POSITIVE_INFINITY;

  override async append(path: string, bytes: Uint8Array): Promise<void> {
    await super.append(path, bytes.subarray(0, Math.max(0, this.room)));
    this.#take(path, bytes.length);
  }

  override async replace(path: string, bytes: Uint8Array): Promise<void> {
    this.#take(path, bytes.length);
    await super.replace(path, bytes);
  }

  #take(path: string, bytes: number): void {
    this.room -= bytes;
    if (this.room >= 0) return;
    throw new ClawError(
      "E_LEDGER",
      `The ledger cannot use its file ${path} (ENOSPC: no space left on device).`,
    );
  }
}

test("a full disk stops the log with a code, and what it acknowledged is there when there is room again", async () => {
  let [refused, kept] = [0, 0];
  for (let room = 0; room < 20_000; room += 1111) {
    const disk = new FullDisk(join(folder, `full-${room}`));
    const log = await Log.open(options(disk));
    disk.room = room;
    const acknowledged: string[] = [];
    for (let i = 0; i < 300; i++) {
      const outcome = await log.add(utf8(`${i} ${"x".repeat(90)}`)).catch((error: ClawError) => error.code);
      if (outcome === "E_LEDGER") refused++;
      else acknowledged.push(`${i} ${"x".repeat(90)}`);
      if (i % 50 === 49) await log.publish().catch(() => {});
    }
    expect(acknowledged.length).toBeLessThan(300);
    await log.close();
    disk.room = Number.POSITIVE_INFINITY;
    const again = await Log.open(options(disk));
    const entries = (await publishedEntries(again)).map((entry) => Buffer.from(entry).toString());
    expect(entries.slice(0, acknowledged.length)).toEqual(acknowledged);
    kept += acknowledged.length;
    await again.close();
  }
  expect(refused).toBeGreaterThan(1000);
  expect(kept).toBeGreaterThan(500);
});

interface Life {
  readonly acknowledged: Map<number, string>;
  readonly checkpoints: Map<number, string>;
}

/** One start of the log, some entries, and a power loss; notes what was promised. */
async function live(
  disk: CrashDisk,
  { acknowledged, checkpoints }: Life,
  draw: () => number,
): Promise<boolean> {
  // A third of the losses strike early: opening has few steps, and each of them must be broken off, too.
  disk.failAfter(Math.floor(draw() * (draw() < 0.33 ? 8 : 60)));
  try {
    const log = await Log.open(options(disk));
    checkpoints.set(log.checkpoint.size, toHex(log.checkpoint.root));
    for (let round = 0; round < 40; round++) {
      const bytes = Array.from({ length: 1 + Math.floor(draw() * 30) }, () => utf8(`${draw()}`));
      const settled = await Promise.allSettled(bytes.map((entry) => log.add(entry)));
      for (const [i, outcome] of settled.entries()) {
        if (outcome.status === "rejected") continue;
        acknowledged.set(
          (outcome as PromiseFulfilledResult<Placed>).value.index,
          toHex(bytes[i] as Uint8Array),
        );
      }
      if (draw() < 0.4) {
        await log.publish();
        checkpoints.set(log.checkpoint.size, toHex(log.checkpoint.root));
      }
      if (settled.some(({ status }) => status === "rejected")) return true;
    }
    return false;
  } catch (error) {
    const lost = error instanceof PowerLoss || (error as { cause?: unknown }).cause instanceof PowerLoss;
    if (!lost) throw error;
    return true;
  }
}

/** Whether everything that was promised is in the log that opens afterwards. */
async function keepsPromises(disk: Disk, { acknowledged, checkpoints }: Life): Promise<boolean> {
  const log = await Log.open(options(disk));
  const entries = await publishedEntries(log);
  const tree = new MemoryTree(entries);
  const kept = [...acknowledged].every(
    ([index, entry]) => entry === toHex(entries[index] ?? new Uint8Array()),
  );
  const consistent = [...checkpoints].every(
    ([size, root]) => size <= entries.length && toHex(tree.root(size)) === root,
  );
  return kept && consistent;
}

function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Every step of opening, committing and publishing that touches the disk; journal files are too long here to be removed. */
const STEPS = [
  "read checkpoint",
  "read tile",
  "read tile/entries",
  "list journal",
  "read journal",
  "truncate journal",
  "append journal",
  "sync journal",
  "replace tile/entries",
  "replace tile",
  "replace checkpoint",
];

describe("a log that loses power", () => {
  test("loses no acknowledged entry, and every checkpoint is the beginning of the next", async () => {
    const totals = { crashes: 0, acknowledged: 0, checkpoints: 0, kept: 0, dropped: 0, cut: 0, holed: 0 };
    const lostAt = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const draw = generator(seed);
        const disk = new CrashDisk(draw);
        const life: Life = { acknowledged: new Map(), checkpoints: new Map() };
        for (let start = 0; start < 6; start++) {
          if (await live(disk, life, draw)) totals.crashes++;
          disk.powerOn();
        }
        expect(await keepsPromises(disk, life)).toBe(true);
        for (const [step, count] of disk.lostAt) lostAt.set(step, (lostAt.get(step) ?? 0) + count);
        totals.acknowledged += life.acknowledged.size;
        totals.checkpoints += life.checkpoints.size;
        for (const kind of ["kept", "dropped", "cut", "holed"] as const) totals[kind] += disk.counts[kind];
      }),
      { numRuns: 100 },
    );
    console.info(`power losses: ${JSON.stringify({ ...totals, lostAt: Object.fromEntries(lostAt) })}`);
    for (const step of STEPS) expect(lostAt.get(step) ?? 0, step).toBeGreaterThanOrEqual(1);
    expect(totals.crashes).toBeGreaterThanOrEqual(500);
    expect(totals.acknowledged).toBeGreaterThanOrEqual(10_000);
    for (const kind of ["kept", "dropped", "cut", "holed"] as const) expect(totals[kind]).toBeGreaterThan(10);
  });

  test("the same test catches a disk whose sync does nothing", async () => {
    let caught = 0;
    for (let seed = 0; seed < 30; seed++) {
      const draw = generator(seed);
      const disk = new CrashDisk(draw);
      disk.lying = true;
      const life: Life = { acknowledged: new Map(), checkpoints: new Map() };
      await live(disk, life, draw).catch(() => true);
      disk.powerOn();
      if (!(await keepsPromises(disk, life).catch(() => false))) caught++;
    }
    expect(caught).toBeGreaterThanOrEqual(5);
  });
});

test("a checkpoint opens with the log's public key", async () => {
  const disk = new CrashDisk(() => 0);
  const log = await Log.open(options(disk));
  await log.add(utf8("entry"));
  await log.publish();
  const { text } = openNote(log.signedCheckpoint, [noteVerifier(key.vkey)]);
  expect(parseCheckpoint(text)).toEqual(log.checkpoint);
});
