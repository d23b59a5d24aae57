import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { at } from "../../src/base/mod.ts";
import { createRuntime, scoreTokens } from "../../src/engine/mod.ts";
import { nativeAvailable, openNativeDevice, type WeightFormat } from "../../src/kernels/mod.ts";
import {
  clearPacked,
  listPacked,
  openModelFile,
  openPackedCache,
  type PackedCacheSettings,
  synthesize,
} from "../../src/model/mod.ts";
import { makeRoom } from "../../src/model/packed/folder.ts";
import {
  decodeIndex,
  encodeIndex,
  type PackedIndex,
  TRAILER_BYTES,
} from "../../src/model/packed/index-format.ts";

const native = nativeAvailable();
const noNative = native ? "" : " (skipped: the native core is not built)";

const base = mkdtempSync(join(tmpdir(), "claw-packed-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

function makeFolder(): string {
  const folder = mkdtempSync(join(base, "test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function makeModel(folder: string, seed = 1): string {
  const out = join(folder, `model-${seed}.gguf`);
  synthesize({ preset: "llama-tiny", type: "f16", outliers: true, seed, out });
  return out;
}

interface Start {
  readonly format?: WeightFormat;
  readonly degree?: number;
  readonly isa?: string;
  readonly settings?: Partial<PackedCacheSettings>;
}

interface Started {
  /** SHA-256 over the logits of some tokens. */
  readonly logits: string;
  readonly fromCache: boolean;
  readonly notes: readonly string[];
  readonly weightBytes: number;
}

/** Loads, runs and closes a model as a process would. Without `folder` there is no cache. */
async function start(path: string, folder?: string, options: Start = {}): Promise<Started> {
  const { format = "i8", degree = 1, isa, settings } = options;
  const notes: string[] = [];
  const file = openModelFile(path);
  const device = openNativeDevice({ threads: 2, ...(isa !== undefined && { isa }) });
  const packed = await openPackedCache(device, file, {
    format,
    degree,
    onNote: (text) => notes.push(text),
    settings: folder === undefined ? undefined : { folder, verify: false, ...settings },
  });
  const runtime = await createRuntime(device, file, {
    format,
    degree,
    packed,
    context: 64,
    batch: 1,
    rows: 8,
    outputs: 8,
  });
  const hash = createHash("sha256");
  const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 37) % 512);
  await scoreTokens(runtime, tokens, { from: 0, visit: (_, logits) => void hash.update(logits) });
  await packed?.save();
  const weightBytes = device.memory().weights;
  device.close();
  file.close();
  return { logits: hash.digest("hex"), fromCache: packed?.complete === true, notes, weightBytes };
}

function onlyEntry(folder: string): string {
  const names = readdirSync(folder);
  expect(names).toHaveLength(1);
  return join(folder, at(names, 0));
}

function readIndex(bytes: Uint8Array): PackedIndex {
  return decodeIndex(bytes.length, (offset, length) => bytes.subarray(offset, offset + length));
}

/** Writes the entry with parts of its index changed, everything else intact. */
function rewriteIndex(path: string, change: (index: PackedIndex) => Partial<PackedIndex>): void {
  const bytes = readFileSync(path);
  const index = readIndex(bytes);
  const end = bytes.length - TRAILER_BYTES - bytes.readUInt32LE(bytes.length - 12);
  writeFileSync(path, Buffer.concat([bytes.subarray(0, end), encodeIndex({ ...index, ...change(index) })]));
}

describe.skipIf(!native)(`packed weights between starts${noNative}`, () => {
  test("the second start takes every matrix from the cache, and no bit changes", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const cases: Start[] = (["f16", "i8", "i4"] as const).flatMap((format) => [
      { format },
      { format, degree: 2 },
    ]);
    for (const options of cases) {
      const plain = await start(model, undefined, options);
      const first = await start(model, folder, options);
      const second = await start(model, folder, options);
      expect(first).toEqual({ ...plain, fromCache: false });
      expect(second).toEqual({ ...plain, fromCache: true });
    }
    // Formats and splits coexist.
    expect(listPacked(folder)).toHaveLength(cases.length);
    for (const options of cases) expect((await start(model, folder, options)).fromCache).toBe(true);
  });

  test("one entry serves every instruction set", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const first = await start(model, folder, { isa: "scalar" });
    const second = await start(model, folder);
    expect(second).toMatchObject({ fromCache: true, logits: first.logits });
  });

  test("the entry is private, names the model's SHA-256, and leaves nothing half done beside it", async () => {
    const folder = join(makeFolder(), "made");
    const model = makeModel(makeFolder());
    await start(model, folder);
    const entry = onlyEntry(folder);
    expect(statSync(entry).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    const digest = createHash("sha256").update(readFileSync(model)).digest("hex");
    expect(listPacked(folder)).toMatchObject([
      { path: entry, model, format: "i8", digest, bytes: statSync(entry).size },
    ]);
    expect(clearPacked(folder)).toEqual({ files: 1, bytes: expect.any(Number) });
    expect(listPacked(folder)).toEqual([]);
  });

  test("a flipped bit is found wherever it matters, noted, and healed", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const { logits } = await start(model, folder);
    const entry = onlyEntry(folder);
    const intact = readFileSync(entry);
    const { matrices } = readIndex(intact);
    const end = intact.length;
    const places = [
      ...matrices.flatMap(({ offset, bytes }) => [offset, offset + bytes - 1]),
      end - 1,
      end - 9,
      end - 12,
      end - 20,
      end - TRAILER_BYTES,
      end - TRAILER_BYTES - 1,
      end - TRAILER_BYTES - 500,
    ];
    let found = 0;
    for (const [i, place] of places.entries()) {
      const damaged = Buffer.from(intact);
      damaged[place] = at(damaged, place) ^ (1 << (i % 8));
      writeFileSync(entry, damaged);
      const started = await start(model, folder);
      expect(started).toMatchObject({ logits, fromCache: false });
      found += started.notes.filter((note) => /not used, because .*(damaged|cut short)/.test(note)).length;
      expect(readFileSync(entry).equals(intact), `healed after byte ${place}`).toBe(true);
    }
    expect(found).toBe(places.length);
    expect(places.length).toBeGreaterThan(40);
  });

  test("an entry that is cut short is found at any length", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const { logits } = await start(model, folder);
    const entry = onlyEntry(folder);
    const intact = readFileSync(entry);
    for (const length of [
      0,
      1,
      TRAILER_BYTES - 1,
      TRAILER_BYTES,
      65_536,
      intact.length - 65_536,
      intact.length - 1,
    ]) {
      writeFileSync(entry, intact.subarray(0, length));
      const started = await start(model, folder);
      expect(started).toMatchObject({
        logits,
        fromCache: false,
        notes: [expect.stringContaining("cut short")],
      });
    }
    expect(await start(model, folder)).toMatchObject({ logits, fromCache: true, notes: [] });
  });

  test.each<[string, (index: PackedIndex) => Partial<PackedIndex>, string]>([
    ["of another version", () => ({ version: "layout 0, arithmetic 1, little endian" }), "another version"],
    ["of another format", () => ({ format: "f16" }), "another model's"],
    ["of another model", () => ({ model: "/elsewhere.gguf" }), "another model's"],
    [
      "of a file changed since",
      ({ identity }) => ({ identity: { ...identity, changed: "1" } }),
      "has changed",
    ],
    [
      "whose matrix has another size",
      ({ matrices }) => ({ matrices: matrices.map((m) => ({ ...m, bytes: 64 })) }),
      "another size",
    ],
    [
      "that reaches beyond its end",
      ({ matrices }) => ({ matrices: matrices.map((m) => ({ ...m, offset: 2 ** 40 })) }),
      "contradicts",
    ],
    ["whose matrices are missing", ({ matrices }) => ({ matrices: matrices.slice(1) }), ""],
  ])("an entry %s is not used, and replaced", async (_, change, reason) => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const { logits } = await start(model, folder);
    rewriteIndex(onlyEntry(folder), change);
    const notes = reason === "" ? [] : [expect.stringContaining(reason)];
    expect(await start(model, folder)).toMatchObject({ logits, fromCache: false, notes });
    expect(await start(model, folder)).toMatchObject({ logits, fromCache: true, notes: [] });
  });

  test("another model's entry under this one's name is not used", async () => {
    const folder = makeFolder();
    const models = makeFolder();
    const [model, other] = [makeModel(models), makeModel(models, 2)];
    const { logits } = await start(model, folder);
    const entry = onlyEntry(folder);
    const elsewhere = makeFolder();
    await start(other, elsewhere);
    copyFileSync(onlyEntry(elsewhere), entry);
    expect(await start(model, folder)).toMatchObject({ logits, fromCache: false });
  });

  test("a model that was written to is packed again, even when its times are put back", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    await start(model, folder);
    const { atime, mtime } = statSync(model);
    const bytes = readFileSync(model);
    bytes[bytes.length - 1] = 0;
    writeFileSync(model, bytes);
    utimesSync(model, atime, mtime);
    const { logits } = await start(model);
    expect(await start(model, folder)).toMatchObject({ logits, fromCache: false });
  });

  test("verify reads the whole model: signs that agree do not count", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const { logits } = await start(model, folder);
    const settings = { verify: true };
    expect(await start(model, folder, { settings })).toMatchObject({ fromCache: true });
    rewriteIndex(onlyEntry(folder), ({ digest }) => ({
      digest: digest.replace(/^./, (c) => (c === "0" ? "1" : "0")),
    }));
    expect(await start(model, folder)).toMatchObject({ fromCache: true });
    const notes = [expect.stringContaining("content has changed")];
    expect(await start(model, folder, { settings })).toMatchObject({ logits, fromCache: false, notes });
  });

  test("a folder that cannot be made, and bounds that leave no room, are noted and change nothing", async () => {
    const parent = makeFolder();
    const model = makeModel(makeFolder());
    const { logits } = await start(model);
    writeFileSync(join(parent, "file"), "");
    const blocked = await start(model, join(parent, "file", "folder"));
    expect(blocked).toMatchObject({ logits, fromCache: false });
    expect(blocked.notes.join()).toMatch(/ENOTDIR|EEXIST/);
    const small = await start(model, join(parent, "small"), { settings: { bytesMax: 1000 } });
    expect(small).toMatchObject({
      logits,
      notes: [expect.stringMatching(/cannot be kept.*more than it may hold/)],
    });
    expect(readdirSync(join(parent, "small"))).toEqual([]);
  });

  test("what was used longest ago gives way", async () => {
    const folder = makeFolder();
    const models = makeFolder();
    const [a, b, c] = [1, 2, 3].map((seed) => makeModel(models, seed)) as [string, string, string];
    await start(a, folder);
    const settings = { bytesMax: 2.5 * statSync(onlyEntry(folder)).size };
    await start(b, folder, { settings });
    for (const { path } of listPacked(folder)) utimesSync(path, 1, 1);
    await start(a, folder, { settings }); // used again
    await start(c, folder, { settings });
    expect(listPacked(folder).map(({ model }) => model)).toEqual([c, a]);
  });

  test("what a process left half done goes when it is old", () => {
    const folder = makeFolder();
    for (const name of ["old.packed.1.unfinished", "new.packed.2.unfinished", "other.txt"])
      writeFileSync(join(folder, name), "x");
    utimesSync(join(folder, "old.packed.1.unfinished"), 1, 1);
    utimesSync(join(folder, "other.txt"), 1, 1);
    expect(makeRoom(join(folder, "a.packed"), 10, { folder })).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["new.packed.2.unfinished", "other.txt"]);
  });

  test("packed bytes are those of their version", async () => {
    const folder = makeFolder();
    const model = makeModel(makeFolder());
    const sums: Record<string, string> = {};
    for (const format of ["f16", "i8", "i4"] as const) {
      await start(model, folder, { format });
      const entry = at(
        listPacked(folder).filter((listed) => listed.format === format),
        0,
      );
      const { matrices, version } = readIndex(readFileSync(entry.path));
      const all = createHash("sha256").update(matrices.map(({ checksum }) => checksum).join());
      sums[`${version}, ${format}`] = all.digest("hex").slice(0, 16);
    }
    // When these change, kLayoutVersion or kArithmeticVersion in native/kernels/kernels.h has to.
    expect(sums).toMatchInlineSnapshot(`
      {
        "layout 3, arithmetic 3, little endian, f16": "f50cbf3e00bf9697",
        "layout 3, arithmetic 3, little endian, i4": "391d70907ebe474f",
        "layout 3, arithmetic 3, little endian, i8": "350301826e74c11c",
      }
    `);
  });

  test("the folder may go while a model is loaded", async () => {
    const parent = makeFolder();
    const folder = join(parent, "cache");
    const model = makeModel(makeFolder());
    await start(model, folder);
    const file = openModelFile(model);
    const device = openNativeDevice({ threads: 1 });
    const settings = { folder, verify: false };
    const packed = await openPackedCache(device, file, {
      format: "i8",
      degree: 1,
      onNote: () => {},
      settings,
    });
    rmSync(folder, { recursive: true });
    await createRuntime(device, file, { format: "i8", packed, context: 64, batch: 1, rows: 8 });
    expect(packed?.complete).toBe(true);
    device.close();
    file.close();
    expect(existsSync(folder)).toBe(false);
    mkdirSync(folder);
  });
});
