/** Loading under a seal: hashes as node:crypto computes them, tensors checked before they are used, and weights scrubbed. */

import { createHash, generateKeyPairSync } from "node:crypto";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../../src/app.ts";
import { asClawError, at } from "../../src/base/mod.ts";
import { defaultsOf, engineOptions } from "../../src/config/mod.ts";
import { Scrubber } from "../../src/engine/scrubber.ts";
import { HASH_CHUNK_BYTES, nativeAvailable, openNativeDevice } from "../../src/kernels/mod.ts";
import { type ModelSeal, openModelFile, synthesize } from "../../src/model/mod.ts";
import { decodeIndex, encodeIndex, type PackedIndex } from "../../src/model/packed/index-format.ts";
import { plainHasher } from "../../src/model/seal/hasher.ts";
import { makeKeys, readPrivateKey, sanctionedSeal, sealModel, type TrustRule } from "../../src/seal/mod.ts";
import { wholeSpec } from "../kernels/cases.ts";

const native = nativeAvailable();
const noNative = native ? "" : " (skipped: no native core was built)";
const folder = mkdtempSync(join(tmpdir(), "claw-sealed-"));
const model = join(folder, "tiny-model.gguf");
const keys = makeKeys(join(folder, "release"));
let seal: ModelSeal;

beforeAll(async () => {
  synthesize({ preset: "llama-tiny", type: "f16", outliers: false, seed: 7, out: model });
  ({ seal } = await sealModel(model, readPrivateKey(keys.privateKey), {}));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function problem(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    const { code, message } = asClawError(error);
    return `${code} ${message}`;
  }
  return "none";
}

const hashers = [{ name: "plain", open: () => ({ ...plainHasher, close: () => {} }) }];
if (native) {
  const open = () => {
    const device = openNativeDevice({ threads: 3 });
    return { hash: device.files?.hash ?? plainHasher.hash, close: () => device.close() };
  };
  hashers.push({ name: "native", open });
}

describe.each(hashers)("chunks of a file, $name", ({ open }) => {
  test("are hashed, and kept, as node:crypto has them, whatever their sizes", {
    timeout: 60_000,
  }, async () => {
    const path = join(folder, "bytes");
    const size = 3 * HASH_CHUNK_BYTES + 4321;
    const bytes = Buffer.from(
      Uint32Array.from({ length: Math.ceil(size / 4) }, (_, i) => i * 2654435761).buffer,
    );
    writeFileSync(path, bytes.subarray(0, size));
    const descriptor = openSync(path, "r");
    const hasher = open();
    const piece = 128 * 1024;
    const edges = [
      0,
      1,
      54,
      55,
      56,
      62,
      63,
      64,
      piece - 1,
      piece,
      piece + 1,
      HASH_CHUNK_BYTES,
      HASH_CHUNK_BYTES + 1,
    ];
    const length = fc.oneof(fc.constantFrom(...edges), fc.nat(size));
    const range = fc.record({ offset: fc.nat(size), length }).map((r) => ({
      offset: r.offset,
      length: Math.min(r.length, size - r.offset),
    }));
    let chunks = 0;
    let kept = 0;
    const property = fc.asyncProperty(
      fc.array(range, { maxLength: 6 }),
      fc.boolean(),
      async (ranges, keep) => {
        const total = ranges.reduce((sum, r) => sum + r.length, 0);
        const into = new Uint8Array(keep ? total : 0);
        const hashes = await hasher.hash(descriptor, ranges, into);
        const expected: Buffer[] = [];
        for (const { offset, length } of ranges) {
          for (let first = 0; first < length; first += HASH_CHUNK_BYTES) {
            const end = offset + Math.min(length, first + HASH_CHUNK_BYTES);
            const hash = createHash("sha256").update(Uint8Array.of(0));
            expected.push(hash.update(bytes.subarray(offset + first, end)).digest());
          }
        }
        chunks += expected.length;
        expect(Buffer.from(hashes).equals(Buffer.concat(expected))).toBe(true);
        if (!keep) return;
        kept++;
        const read = Buffer.concat(
          ranges.map(({ offset, length }) => bytes.subarray(offset, offset + length)),
        );
        expect(Buffer.from(into).equals(read)).toBe(true);
      },
    );
    await fc.assert(property, { numRuns: 60, seed: 11 });
    expect(chunks).toBeGreaterThanOrEqual(150);
    expect(kept).toBeGreaterThanOrEqual(15);
    const beyond = [{ offset: size - 10, length: 11 }];
    expect(await problem(() => hasher.hash(descriptor, beyond))).toMatch(/^E_FILE /);
    hasher.close();
    closeSync(descriptor);
  });
});

/** Loads the model on a device, and says what was wrong. */
function load(device: "native" | "reference", packedCache: boolean): Promise<string> {
  const options = {
    ...defaultsOf(engineOptions),
    device,
    packedCache,
    threads: device === "native" ? 2 : undefined,
  };
  return problem(async () => (await loadModel(model, options, { seal })).engine.close());
}

describe.each(native ? (["native", "reference"] as const) : (["reference"] as const))(
  "loading on %s",
  (device) => {
    test("finds a flipped bit in any tensor, and names it", { timeout: 120_000 }, async () => {
      expect(await load(device, false)).toBe("none");
      const { gguf, close } = openModelFile(model);
      close();
      const whole = readFileSync(model);
      const tensors = [...gguf.tensors.values()];
      const some = tensors.filter((_, i) => i % Math.ceil(tensors.length / 10) === 0);
      expect(some.length).toBeGreaterThanOrEqual(6);
      for (const [i, { name, offset, byteLength }] of some.entries()) {
        const place = offset + ((i * 7919) % byteLength);
        flip(model, place, i % 8);
        expect(await load(device, false)).toBe(
          `E_ALTERED The model is not the one that was sealed: the tensor ${name} differs.`,
        );
        flip(model, place, i % 8);
      }
      flip(model, whole.length - 1, 0);
      expect(await load(device, false)).toMatch(/^E_ALTERED /);
      flip(model, whole.length - 1, 0);
      expect(readFileSync(model).equals(whole)).toBe(true);
    });
  },
);

function flip(path: string, offset: number, bit: number): void {
  const descriptor = openSync(path, "r+");
  const byte = new Uint8Array(1);
  readSync(descriptor, byte, 0, 1, offset);
  byte[0] = at(byte, 0) ^ (1 << bit);
  writeSync(descriptor, byte, 0, 1, offset);
  closeSync(descriptor);
}

describe.skipIf(!native)(`packed weights of a sealed model${noNative}`, () => {
  test("are taken only as this user packed them under this seal", { timeout: 120_000 }, async () => {
    const saved = { ...process.env };
    process.env["XDG_CACHE_HOME"] = join(folder, "cache");
    process.env["XDG_STATE_HOME"] = join(folder, "state");
    try {
      const kept = join(folder, "cache", "openclaw", "packed");
      expect(await weightsFrom()).toBe("model");
      expect(await weightsFrom()).toBe("cache");
      const [name = ""] = readdirSync(kept);
      const entry = join(kept, name);
      const whole = readFileSync(entry);
      const index = decodeIndex(whole.length, (offset, length) => whole.subarray(offset, offset + length));
      const device = openNativeDevice({ threads: 1 });
      const packed = device.packed as NonNullable<typeof device.packed>;
      const { offset, bytes } = at(index.matrices, 1);
      const body = Buffer.from(whole.subarray(0, index.matrices.at(-1)?.offset));
      body[offset + 5] = at(body, offset + 5) ^ 1;
      const altered = body.subarray(offset, offset + bytes);
      const sha256 = createHash("sha256")
        .update(await packed.hashes(altered))
        .digest("hex");
      const place = { ...at(index.matrices, 1), checksum: packed.checksum(altered), sha256 };
      device.close();
      // Every checksum fits; only the key was not there.
      const forged = encodeIndex({ ...index, matrices: index.matrices.slice(0, -1).with(1, place) });
      writeFileSync(entry, Buffer.concat([body, forged]));
      expect(await weightsFrom()).toBe("model");
      expect(await weightsFrom()).toBe("cache");
      // Nor is what an unsealed start packed taken, wherever it lies.
      const { mac: _, ...unsealed } = index;
      writeFileSync(entry, Buffer.concat([whole.subarray(0, dataEnd(index)), encodeIndex(unsealed)]));
      expect(await weightsFrom()).toBe("model");
    } finally {
      process.env = saved;
    }
  });

  const dataEnd = ({ matrices }: PackedIndex): number =>
    Math.max(...matrices.map(({ offset, bytes }) => offset + bytes));

  async function weightsFrom(): Promise<string> {
    const options = { ...defaultsOf(engineOptions), device: "native" as const, threads: 2 };
    const { engine, info } = await loadModel(model, options, { seal });
    await engine.close();
    return info.weights;
  }
});

describe.skipIf(!native)(`scrubbing${noNative}`, () => {
  test("finds any flipped bit within a pass, and none where there is none", async () => {
    const device = openNativeDevice({ threads: 2 });
    const packed = device.packed as NonNullable<typeof device.packed>;
    const scrubber = new Scrubber(packed);
    const ids = new Map<string, number>();
    for (const [name, rows] of Object.entries({ first: 2500, second: 16, third: 3000 })) {
      const spec = { ...wholeSpec({ format: "i8", rows, columns: 1024, segments: 2 }), name };
      const values = Float32Array.from({ length: rows * 1024 }, (_, i) => ((i * 7919) % 1013) / 1013);
      const id = await device.loadMatrix(spec, { type: "F32", data: new Uint8Array(values.buffer) });
      scrubber.add(name, id);
      ids.set(name, id);
    }
    const steps = [...ids.values()].reduce(
      (sum, id) => sum + Math.ceil(packed.bytes(id).length / 2 ** 20),
      0,
    );
    const pass = (): (string | undefined)[] => {
      return Array.from({ length: steps }, () => scrubber.step().damaged).filter(
        (name) => name !== undefined,
      );
    };
    expect(steps).toBeGreaterThanOrEqual(6);
    expect(pass()).toEqual([]);
    for (const [name, id] of ids) {
      const bytes = packed.bytes(id);
      for (const place of [0, 12_345 % bytes.length, bytes.length - 1]) {
        bytes[place] = at(bytes, place) ^ 4;
        expect(pass()).toEqual([name]);
        bytes[place] = at(bytes, place) ^ 4;
      }
    }
    expect(pass()).toEqual([]);
    device.close();
  });
});

describe("the trust policy", () => {
  const rule = (change: Partial<TrustRule> = {}): TrustRule => ({
    keyFile: keys.publicKey,
    model: "*",
    root: undefined,
    ...change,
  });
  const verdict = (...rules: TrustRule[]): Promise<string> =>
    problem(() => sanctionedSeal(rules, { path: model, name: "tiny-model", bundle: undefined }));

  test("takes a model by its name and its root", async () => {
    for (const pattern of [
      "*",
      "tiny-model",
      "tiny-*",
      "*-model",
      "t*y*l",
      "**",
      "tiny-model*",
      "*tiny-model",
    ]) {
      expect(await verdict(rule({ model: pattern })), pattern).toBe("none");
    }
    for (const pattern of [
      "tiny",
      "tiny-",
      "*tiny",
      "model*",
      "Tiny-model",
      "tiny-model-*",
      "t*x*l",
      "tiny-mod*del",
    ]) {
      expect(await verdict(rule({ model: pattern })), pattern).toMatch(/^E_SEAL .*no rule/);
    }
    expect(await verdict(rule({ root: seal.root }))).toBe("none");
    expect(await verdict(rule({ root: "0".repeat(64) }))).toMatch(/^E_SEAL .*may not sanction the root/);
    expect(await verdict(rule({ root: "0".repeat(64) }), rule({ root: seal.root }))).toBe("none");
  });

  test("takes no key for another's, and no bundle without a root", async () => {
    const other = join(folder, "other.pub");
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(other, pair.publicKey.export({ type: "spki", format: "pem" }), { mode: 0o644 });
    expect(await verdict(rule({ keyFile: other }))).toMatch(/^E_SEAL .*another key/);
    expect(await verdict(rule({ keyFile: other }), rule({ model: "x" }))).toMatch(/^E_SEAL .*another key/);
    expect(await verdict(rule({ keyFile: other, root: seal.root }), rule({ root: "0".repeat(64) }))).toMatch(
      /^E_SEAL /,
    );
    expect(await verdict(rule({ keyFile: other }), rule())).toBe("none");
    expect(await verdict(rule({ keyFile: join(folder, "none.pub") }))).toMatch(/^E_KEY /);
    const unsealed = { path: join(folder, "bytes"), name: "bytes", bundle: undefined };
    expect(await problem(() => sanctionedSeal([rule()], unsealed))).toMatch(/^E_UNSEALED /);
    expect(readdirSync(folder)).toContain("tiny-model.gguf.sig");
  });
});
