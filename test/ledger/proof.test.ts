/** Offline proofs: made from a log, verified without it, refused when anything in them or around them is changed. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  formatProof,
  leafHash,
  NOTE_KEY,
  noteVerifier,
  parseProof,
  utf8,
  verifyProof,
} from "../../src/crypto/mod.ts";
import {
  cosign,
  FileStorage,
  inclusionProof,
  Log,
  readOrMakeKey,
  type SigningKey,
  signingKey,
  Witness,
} from "../../src/ledger/mod.ts";
import { CrashDisk } from "./crash-disk.ts";

const ORIGIN = "ledger.example/proofs";
let folder: string;
let logKey: SigningKey;
let witnessKey: SigningKey;
let proof: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "claw-proof-"));
  const make = (name: string, type: 1 | 6): SigningKey =>
    signingKey(readOrMakeKey(join(folder, `key-${type}`), type), { name, type, now: () => 1_764_000_000 });
  logKey = make(ORIGIN, NOTE_KEY.ED25519);
  witnessKey = make("witness.example", NOTE_KEY.COSIGNATURE_ML_DSA_44);
  const verifiers = [noteVerifier(logKey.vkey)];
  const storage = new FileStorage(new CrashDisk(() => 0));
  const log = await Log.open({ storage, origin: ORIGIN, signers: [logKey], verifiers });
  await Promise.all(Array.from({ length: 300 }, (_, i) => log.add(utf8(`entry ${i}`))));
  await log.publish();
  const read = log.tile.bind(log);
  const witness = new Witness({
    disk: new CrashDisk(() => 0),
    signers: [witnessKey],
    logs: new Map([[ORIGIN, verifiers]]),
  });
  const peer = {
    verifier: noteVerifier(witnessKey.vkey),
    call: (body: string) => witness.addCheckpoint(body),
  };
  const checkpoint = await cosign(log.signedCheckpoint, peer, { oldSize: 0, read });
  proof = formatProof({
    index: 260,
    hashes: await inclusionProof(260, 300, read),
    checkpoint,
    extra: utf8("more"),
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function codeOf(
  text: string,
  { entry = "entry 260", witnessesMin = 1, origin = ORIGIN } = {},
): string | undefined {
  const policy = {
    origin,
    logKeys: [noteVerifier(logKey.vkey)],
    witnesses: [noteVerifier(witnessKey.vkey)],
    witnessesMin,
  };
  try {
    verifyProof(parseProof(text), leafHash(utf8(entry)), policy);
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

test("a proof says what it was made from and verifies", () => {
  const parsed = parseProof(proof);
  expect(parsed).toMatchObject({ index: 260, extra: utf8("more") });
  expect(formatProof(parsed)).toBe(proof);
  expect(codeOf(proof)).toBeUndefined();
});

test("another entry, index, log or number of witnesses is refused", () => {
  expect(codeOf(proof, { entry: "entry 261" })).toBe("E_PROOF");
  expect(codeOf(proof.replace("index 260", "index 261"))).toBe("E_PROOF");
  expect(codeOf(proof, { origin: "other.example" })).toBe("E_PROOF");
  expect(codeOf(proof, { witnessesMin: 2 })).toBe("E_PROOF");
  const unwitnessed = proof
    .split("\n")
    .filter((line) => !line.includes("witness.example"))
    .join("\n");
  expect(codeOf(unwitnessed)).toBe("E_PROOF");
  expect(codeOf(unwitnessed, { witnessesMin: 0 })).toBeUndefined();
});

test("malformed and truncated proofs are refused with a code", () => {
  for (let length = 0; length < proof.length; length += 37) {
    expect(["E_PROOF", "E_NOTE"]).toContain(codeOf(proof.slice(0, length)));
  }
  const hashes = `${"A".repeat(43)}=\n`.repeat(64);
  expect(codeOf(proof.replace("index 260\n", `index 260\n${hashes}`))).toBe("E_PROOF");
  expect(codeOf("x".repeat(300_000))).toBe("E_PROOF");
});
