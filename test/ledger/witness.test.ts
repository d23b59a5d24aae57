/** The witness: cosigns what continues, refuses forks, rollbacks, strangers and malformed requests. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import {
  formatCheckpoint,
  fromBase64,
  NOTE_KEY,
  noteVerifier,
  openNote,
  signNote,
  toBase64,
  utf8,
} from "../../src/crypto/mod.ts";
import { cosignatureTime } from "../../src/crypto/note-keys.ts";
import {
  consistencyProof,
  cosign,
  FolderDisk,
  openWitness,
  readOrMakeKey,
  type SigningKey,
  signingKey,
  Witness,
  type WitnessPeer,
} from "../../src/ledger/mod.ts";
import { CrashDisk } from "./crash-disk.ts";
import { MemoryTree } from "./memory-tree.ts";

const ORIGIN = "ledger.example/witnessed";
let folder: string;
let logKey: SigningKey;
let witnessKeys: SigningKey[];
let witness: Witness;

const tree = new MemoryTree(Array.from({ length: 40 }, (_, i) => utf8(`entry ${i}`)));
const fork = new MemoryTree(Array.from({ length: 40 }, (_, i) => utf8(`other ${i}`)));

function makeKey(name: string, type: 1 | 4 | 6): SigningKey {
  const path = join(folder, `${name.replaceAll("/", "-")}-${type}`);
  return signingKey(readOrMakeKey(path, type), { name, type, now: () => 1_764_000_000 });
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-witness-"));
  logKey = makeKey(ORIGIN, NOTE_KEY.ED25519);
  witnessKeys = [
    makeKey("witness.example", NOTE_KEY.COSIGNATURE_ED25519),
    makeKey("witness.example", NOTE_KEY.COSIGNATURE_ML_DSA_44),
  ];
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function witnessOn(disk: CrashDisk | FolderDisk): Witness {
  return new Witness({ disk, signers: witnessKeys, logs: new Map([[ORIGIN, [noteVerifier(logKey.vkey)]]]) });
}

beforeEach(() => {
  witness = witnessOn(new CrashDisk(() => 0));
});

function note(size: number, of: MemoryTree = tree, signer: SigningKey = logKey): string {
  return signNote(formatCheckpoint({ origin: ORIGIN, size, root: of.root(size) }), [signer]);
}

async function body(from: number, to: number, of: MemoryTree = tree): Promise<string> {
  const proof = await consistencyProof(from, to, of.reader(to));
  return [`old ${from}`, ...proof.map(toBase64), "", note(to, of)].join("\n");
}

const status = async (request: string): Promise<number> => (await witness.addCheckpoint(request)).status;

test("cosigns what continues the last checkpoint, also after a restart, with both kinds of keys", async () => {
  const disk = new FolderDisk(join(folder, "state"));
  for (const [from, to] of [
    [0, 5],
    [5, 5],
    [5, 8],
    [8, 33],
  ] as const) {
    witness = witnessOn(disk);
    const { status: code, body: lines } = await witness.addCheckpoint(await body(from, to));
    expect(code).toBe(200);
    const verifiers = witnessKeys.map(({ vkey }) => noteVerifier(vkey));
    expect(openNote(note(to) + lines, verifiers).verified).toHaveLength(2);
  }
});

test("refuses forks, rollbacks, unknown logs, other keys and malformed requests", async () => {
  expect(await status(await body(0, 9))).toBe(200);
  expect(await status(await body(0, 12))).toBe(409);
  expect(await status(await body(9, 12, fork))).toBe(422);
  expect(await status(`old 9\n\n${note(9, fork)}`)).toBe(422);
  expect(await status(`old 9\n\n${note(8)}`)).toBe(400);
  expect(await status(`old 9\n${toBase64(tree.leaf(1))}\n\n${note(12)}`)).toBe(422);
  expect(
    await status(`old 9\n\n${note(12, tree, makeKey(ORIGIN.replace("ledger", "x"), NOTE_KEY.ED25519))}`),
  ).toBe(403);
  expect(await status(`old 9\n\n${note(12).replace(ORIGIN, "stranger.example")}`)).toBe(404);
  const lines = `${toBase64(tree.leaf(0))}\n`.repeat(64);
  for (const bad of [
    "",
    "old 9",
    "old -1\n\n",
    `old 09\n\n${note(12)}`,
    `old 9\n${lines}\n${note(12)}`,
    `old 9\nnot\n\n${note(12)}`,
  ]) {
    expect(await status(bad), bad.slice(0, 20)).toBe(400);
  }
  const conflict = await witness.addCheckpoint(await body(0, 12));
  expect(conflict).toMatchObject({ contentType: "text/x.tlog.size", body: "9\n" });
  expect(await status(await body(9, 12))).toBe(200);
});

test("of two requests at once that start from the same size, one wins", async () => {
  const both = await Promise.all([
    witness.addCheckpoint(await body(0, 7)),
    witness.addCheckpoint(await body(0, 9)),
  ]);
  expect(both.map((answer) => answer.status).sort()).toEqual([200, 409]);
});

test("the client learns what the witness knows, and checks what it sends", async () => {
  const [key] = witnessKeys as [SigningKey];
  const peer: WitnessPeer = {
    verifier: noteVerifier(key.vkey),
    call: (request) => witness.addCheckpoint(request),
  };
  await witness.addCheckpoint(await body(0, 5));
  const cosigned = await cosign(note(33), peer, { oldSize: 0, read: tree.reader(33) });
  expect(openNote(cosigned, [noteVerifier(logKey.vkey), peer.verifier]).verified).toHaveLength(2);
  const lying: WitnessPeer = {
    ...peer,
    call: async () => ({ status: 200, body: cosigned.slice(cosigned.indexOf("\n\n") + 2) }),
  };
  await expect(cosign(note(34), lying, { oldSize: 33, read: tree.reader(34) })).rejects.toMatchObject({
    code: "E_NOTE",
  });
  const refusing: WitnessPeer = { ...peer, call: async () => ({ status: 500, body: "" }) };
  await expect(cosign(note(34), refusing, { oldSize: 33, read: tree.reader(34) })).rejects.toMatchObject({
    code: "E_LEDGER",
  });
});

test("a clock that jumps back dates no cosignature before an earlier one, and one without a time is refused", async () => {
  let time = 1_764_000_000;
  const setup = {
    name: "witness.example",
    keys: [{ type: NOTE_KEY.COSIGNATURE_ED25519, path: join(folder, "clock.key") }],
    logs: new Map([[ORIGIN, [noteVerifier(logKey.vkey)]]]),
    now: () => time,
  };
  ({ witness } = await openWitness(new CrashDisk(() => 0), setup));
  const dated = async (from: number, to: number): Promise<number | undefined> => {
    const answer = await witness.addCheckpoint(await body(from, to));
    const [, , encoded = ""] = answer.body.trim().split(" ");
    return cosignatureTime((fromBase64(encoded) as Uint8Array).slice(4));
  };
  expect(await dated(0, 5)).toBe(1_764_000_000);
  time -= 86_400;
  expect(await dated(5, 6)).toBe(1_764_000_000);
  time = 0;
  await expect(witness.addCheckpoint(await body(6, 7))).rejects.toMatchObject({ code: "E_LEDGER" });
});
