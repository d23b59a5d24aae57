/** Seals: published signatures, altered models, bundles that are not what they should be, and keys that are not. */

import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asClawError } from "../../src/base/mod.ts";
import { measureSeal, openModelFile, synthesize } from "../../src/model/mod.ts";
import { openHasher } from "../../src/model/seal/hasher.ts";
import { digestTensors } from "../../src/model/seal/tensors.ts";
import {
  makeKeys,
  openBundle,
  readPrivateKey,
  readPublicKey,
  readSeal,
  sealModel,
  signBundle,
  verifyModel,
} from "../../src/seal/mod.ts";

const folder = mkdtempSync(join(tmpdir(), "claw-seal-"));
const model = join(folder, "model.gguf");
const vectors = new URL("../../../shared/vectors/oms/", import.meta.url).pathname;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const trusted = [{ name: "release", key: pair.publicKey }];

beforeAll(async () => {
  synthesize({ preset: "llama-135m", type: "q4_0", layers: 1, outliers: false, seed: 3, out: model });
  await sealModel(model, pair.privateKey, {});
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

function sharedModel(): string {
  const path = join(folder, "shared.gguf");
  const options = { type: "q8_0", outliers: false, seed: 5, sharedLayers: true } as const;
  synthesize({ preset: "llama-tiny", ...options, out: path });
  return path;
}

/** What verifying says, with the model's bytes from the file on the disk. */
function verdict(keys = trusted, bundle?: string): Promise<string> {
  return problem(() => verifyModel(model, readSeal(model, keys, bundle)));
}

describe.skipIf(!existsSync(vectors))("published OpenSSF Model Signing vectors (../shared)", () => {
  const key = (): { name: string; key: KeyObject } => ({
    name: "upstream",
    key: readPublicKey(join(vectors, "signing-key-pub.pem")),
  });
  const copies = (name: string): string => {
    const copy = join(folder, name);
    rmSync(copy, { recursive: true, force: true });
    cpSync(join(vectors, name), copy, { recursive: true });
    chmodSync(copy, 0o755);
    return copy;
  };
  const verify = (target: string, bundle: string, ignored: string[] = []): Promise<string> =>
    problem(() => verifyModel(target, readSeal(target, [key()], bundle), { ignored }));

  test("a file of version 1.0.0 verifies, and a changed one does not", async () => {
    const copy = copies("v1.0.0-elliptic-key");
    const file = join(copy, "signme-1");
    expect(await verify(file, join(copy, "model.sig"))).toBe("none");
    chmodSync(file, 0o644);
    writeFileSync(file, "signme-2\n");
    expect(await verify(file, join(copy, "model.sig"))).toMatch(/^E_ALTERED /);
  });

  test("a folder of version 1.0.1 verifies but for changed, missing and extra files", async () => {
    const copy = copies("v1.0.1-elliptic-key");
    const bundle = join(copy, "model.sig");
    const ignored = ["model.sig", "ignore-me"];
    expect(await verify(copy, bundle, ignored)).toBe("none");
    expect(await verify(copy, bundle, ["model.sig"])).toMatch(/^E_ALTERED .*ignore-me/);
    writeFileSync(join(copy, "extra"), "");
    expect(await verify(copy, bundle, ignored)).toMatch(/^E_ALTERED .*extra/);
    rmSync(join(copy, "extra"));
    rmSync(join(copy, "signme-2"));
    expect(await verify(copy, bundle, ignored)).toMatch(/^E_ALTERED .*signme-2 is missing/);
  });

  test("no byte of a published bundle's payload or signature can be changed", () => {
    const text = readFileSync(join(vectors, "v1.0.1-elliptic-key", "model.sig"), "utf8");
    const bundle = JSON.parse(text);
    let tried = 0;
    const change = (base64: string, at: number): string => {
      const bytes = Buffer.from(base64, "base64");
      bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << (at % 8));
      return bytes.toString("base64");
    };
    for (let at = 0; at < 900; at += 9) {
      const payload = structuredClone(bundle);
      payload.dsseEnvelope.payload = change(payload.dsseEnvelope.payload, at);
      const signature = structuredClone(bundle);
      signature.dsseEnvelope.signatures[0].sig = change(signature.dsseEnvelope.signatures[0].sig, at);
      for (const bad of [payload, signature]) {
        tried++;
        expect(() => openBundle(JSON.stringify(bad), [key()])).toThrow(/no trusted key/);
      }
    }
    expect(tried).toBeGreaterThanOrEqual(200);
  });
});

describe("an altered model", () => {
  test("is found wherever a bit was flipped, and a tensor by its name", { timeout: 120_000 }, async () => {
    expect(await verdict()).toBe("none");
    const whole = readFileSync(model);
    const { gguf, close } = openModelFile(model);
    close();
    const tensors = [...gguf.tensors.values()];
    const named = new Set<string>();
    let header = 0;
    const places = fc.sample(fc.nat(whole.length - 1), { numRuns: 12, seed: 5 });
    const inHeader = fc.sample(fc.nat(gguf.dataOffset - 1), { numRuns: 12, seed: 6 });
    const small = tensors.map(({ offset, byteLength }) => offset + byteLength - 1).slice(0, 12);
    for (const at of [0, whole.length - 1, ...places, ...inHeader, ...small]) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
      writeFileSync(model, bytes);
      const found = await verdict();
      const tensor = tensors.find(({ offset, byteLength }) => at >= offset && at < offset + byteLength);
      if (tensor === undefined) {
        header++;
        expect(found, `byte ${at}`).toMatch(/^E_/);
      } else {
        named.add(tensor.name);
        expect(found, `byte ${at}`).toBe(
          `E_ALTERED The model is not the one that was sealed: the tensor ${tensor.name} differs.`,
        );
      }
    }
    writeFileSync(model, whole);
    expect(header).toBeGreaterThanOrEqual(10);
    expect(named.size).toBeGreaterThanOrEqual(8);
    expect(await verdict()).toBe("none");
  });

  test("is found when it is cut short or grows", async () => {
    const whole = readFileSync(model);
    writeFileSync(model, Buffer.concat([whole, Buffer.of(0)]));
    expect(await verdict()).toMatch(/^E_ALTERED .*between the tensors/);
    writeFileSync(model, whole.subarray(0, -1));
    expect(await verdict()).toMatch(/^E_GGUF /);
    writeFileSync(model, whole);
  });

  test.each([
    ["a model", () => model],
    ["one whose layers share their bytes", sharedModel],
  ])("has a root that is the same each time, and by the tree written out: %s", async (_, make) => {
    const path = make();
    const [first, second] = [await measureSeal(path), await measureSeal(path)];
    expect(second).toEqual(first);
    const bytes = readFileSync(path);
    const { gguf, close } = openModelFile(path);
    close();
    const hash = (...parts: (string | Uint8Array)[]): Buffer => {
      const all = createHash("sha256");
      for (const part of parts) all.update(part);
      return all.digest();
    };
    const [zero, one] = [Uint8Array.of(0), Uint8Array.of(1)];
    // Pairs from the left, an odd last one carried up: another way to the tree of RFC 6962.
    const tree = (leaves: Buffer[]): Buffer => {
      let row = leaves;
      while (row.length > 1) {
        const next: Buffer[] = [];
        for (let i = 0; i < row.length; i += 2) {
          const [left, right] = [row[i] as Buffer, row[i + 1]];
          next.push(right === undefined ? left : hash(one, left, right));
        }
        row = next;
      }
      return row[0] as Buffer;
    };
    const leaf = ({
      name,
      type: dtype,
      shape,
      offset,
      byteLength,
    }: NonNullable<ReturnType<typeof gguf.tensors.get>>): Buffer => {
      const chunks: Buffer[] = [];
      for (let at = 0; at < byteLength; at += 2 ** 20) {
        chunks.push(hash(zero, bytes.subarray(offset + at, offset + Math.min(byteLength, at + 2 ** 20))));
      }
      const data = tree(chunks).toString("hex");
      return hash(zero, JSON.stringify({ name, dtype, shape, bytes: byteLength, data }));
    };
    const sorted = [...gguf.tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const { version, architecture, tokenizer, chat_template, quantization, header, padding } = first.topology;
    const topology = { version, architecture, tokenizer, chat_template, quantization, header, padding };
    const top = hash(zero, JSON.stringify(topology));
    expect(tree([top, ...sorted.map(leaf)]).toString("hex")).toBe(first.root);
  });
});

test("bytes that tensors share are hashed once", async () => {
  const path = sharedModel();
  const { gguf, close } = openModelFile(path);
  close();
  const tensors = [...gguf.tensors.values()];
  const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const real = openHasher();
  const descriptor = openSync(path, "r");
  let [hashed, told] = [0, 0];
  const hash: typeof real.hash = (file, ranges) => {
    for (const { length } of ranges) hashed += length;
    return real.hash(file, ranges);
  };
  const hasher = { hash };
  const onBytes = (count: number): void => {
    told += count;
  };
  const digests = await digestTensors(tensors, { hasher, descriptor, onBytes });
  expect(new Set(digests).size).toBe(tensors.length);
  expect(told).toBe(total);
  expect(hashed).toBeLessThan(total * 0.8);
  closeSync(descriptor);
  real.close();
});

describe("a bundle", () => {
  const text = (): string => readFileSync(`${model}.sig`, "utf8");
  const statementText = (): string => {
    return Buffer.from(JSON.parse(text()).dsseEnvelope.payload, "base64").toString();
  };
  const verdictOf = async (bundle: string, keys = trusted): Promise<string> => {
    const path = join(folder, "other.sig");
    writeFileSync(path, bundle);
    return await verdict(keys, path);
  };

  test("that is cut short anywhere is refused", async () => {
    const whole = text();
    const seen = new Set<string>();
    for (let length = 0; length < whole.length; length += Math.ceil(whole.length / 60)) {
      seen.add((await verdictOf(whole.slice(0, length))).slice(0, 7));
    }
    expect([...seen]).toEqual(["E_SEAL "]);
  });

  test("of another key, curve, media or payload type is refused", async () => {
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(await verdict([{ name: "other", key: other.publicKey }])).toMatch(/^E_SEAL .*another key/);
    const edit = (change: (bundle: ReturnType<typeof JSON.parse>) => void): string => {
      const bundle = JSON.parse(text());
      change(bundle);
      return JSON.stringify(bundle);
    };
    const hintless = edit((bundle) => {
      delete bundle.verificationMaterial.publicKey.hint;
    });
    expect(await verdictOf(hintless)).toBe("none");
    expect(await verdictOf(hintless, [{ name: "other", key: other.publicKey }])).toMatch(
      /^E_SEAL .*no trusted key/,
    );
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
    expect(await verdictOf(hintless, [{ name: "p384", key: p384.publicKey }])).toMatch(
      /^E_SEAL .*no trusted key/,
    );
    expect(
      await verdictOf(signBundle(statementText(), p384.privateKey), [{ name: "p", key: p384.publicKey }]),
    ).toBe("none");
    for (const change of [
      edit((bundle) => Object.assign(bundle, { mediaType: "application/vnd.dev.sigstore.bundle.v0.2+json" })),
      edit((bundle) => Object.assign(bundle.dsseEnvelope, { payloadType: "text/plain" })),
      edit((bundle) => bundle.dsseEnvelope.signatures.push(bundle.dsseEnvelope.signatures[0])),
      edit((bundle) => Object.assign(bundle.dsseEnvelope, { signatures: [] })),
      edit((bundle) => Object.assign(bundle, { verificationMaterial: null })),
      "[]",
      `${" ".repeat(16 * 1024 * 1024)}{}`,
    ]) {
      expect(await verdictOf(change)).toMatch(/^E_SEAL /);
    }
    expect(await verdict(trusted, join(folder, "none.sig"))).toMatch(/^E_UNSEALED /);
  });

  test("that a trusted key signed, but that contradicts itself or leaves the folder, is refused", async () => {
    const signed = (change: (statement: ReturnType<typeof JSON.parse>) => void): string => {
      const statement = JSON.parse(statementText());
      change(statement);
      return signBundle(JSON.stringify(statement), pair.privateKey);
    };
    const named = (name: string) =>
      signed(({ predicate }) => Object.assign(predicate.resources[0], { name }));
    const [tensor] = Object.keys(JSON.parse(statementText()).predicate.openclaw.tensors);
    for (const change of [
      named("../model.gguf"),
      named("/etc/passwd"),
      named("a/../../b"),
      named("a//b"),
      named(""),
      signed(({ predicate }) => Object.assign(predicate, { resources: [] })),
      signed(({ predicate }) => predicate.resources.push(predicate.resources[0])),
      signed(({ predicate }) => Object.assign(predicate.resources[0], { digest: "0".repeat(64) })),
      signed(({ predicate }) => Object.assign(predicate.serialization, { hash_type: "blake3" })),
      signed((statement) => Object.assign(statement, { predicateType: "https://example.com/other" })),
      signed((statement) => Object.assign(statement, { subject: [] })),
      signed(({ predicate }) => Object.assign(predicate.openclaw, { root: "0".repeat(64) })),
      signed(({ predicate }) =>
        Object.assign(predicate.openclaw.tensors, { [tensor as string]: "0".repeat(64) }),
      ),
    ]) {
      expect(await verdictOf(change)).toMatch(/^E_SEAL /);
    }
  });

  test("names what it is as Model Signing does", () => {
    const { verificationMaterial, dsseEnvelope } = JSON.parse(text());
    const pem = pair.publicKey.export({ type: "spki", format: "pem" });
    expect(verificationMaterial.publicKey.hint).toBe(createHash("sha256").update(pem).digest("hex"));
    const statement = JSON.parse(Buffer.from(dsseEnvelope.payload, "base64").toString());
    const file = createHash("sha256").update(readFileSync(model)).digest();
    expect(statement.predicate.resources).toEqual([
      { algorithm: "sha256", name: ".", digest: file.toString("hex") },
    ]);
    const digest = createHash("sha256").update(file).digest("hex");
    expect(statement.subject).toEqual([{ name: "model.gguf", digest: { sha256: digest } }]);
  });
});

test("keys that are missing, open, of another kind or curve are refused", async () => {
  const path = join(folder, "key");
  const { privateKey, publicKey } = makeKeys(path);
  const key = readPrivateKey(privateKey);
  expect(createPublicKey(key).equals(readPublicKey(publicKey))).toBe(true);
  expect(sign("sha256", Buffer.of(1), key).length).toBeGreaterThan(60);
  expect(await problem(() => makeKeys(path))).toMatch(/^E_KEY /);
  expect(await problem(() => readPublicKey(privateKey))).toMatch(/^E_KEY .*private/);
  expect(await problem(() => readPrivateKey(publicKey))).toMatch(/^E_KEY /);
  chmodSync(privateKey, 0o640);
  expect(await problem(() => readPrivateKey(privateKey))).toMatch(/^E_KEY .*chmod/);
  chmodSync(publicKey, 0o664);
  expect(await problem(() => readPublicKey(publicKey))).toMatch(/^E_KEY .*chmod/);
  expect(await problem(() => readPublicKey(join(folder, "no.pub")))).toMatch(/^E_KEY /);
  for (const other of [
    generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
    generateKeyPairSync("ed25519"),
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ]) {
    const file = join(folder, "other.pub");
    writeFileSync(file, other.publicKey.export({ type: "spki", format: "pem" }), { mode: 0o644 });
    expect(await problem(() => readPublicKey(file))).toMatch(/^E_KEY /);
  }
});
