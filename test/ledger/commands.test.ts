/** `claw ledger`: the witness over HTTP under its client and under bad requests; a folder verified, whole and damaged. */

import type { ChildProcess } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  formatCheckpoint,
  NOTE_KEY,
  noteVerifier,
  openNote,
  signNote,
  toBase64,
  utf8,
} from "../../src/crypto/mod.ts";
import {
  auditLog,
  consistencyProof,
  cosign,
  FileStorage,
  FolderDisk,
  Log,
  readOrMakeKey,
  type SigningKey,
  signingKey,
  storedInFiles,
} from "../../src/ledger/mod.ts";
import { claw, exitOf, makeFolder, start } from "../cli/claw.ts";
import { MemoryTree } from "./memory-tree.ts";

const ORIGIN = "ledger.example/served";
const folder = makeFolder();
const state = join(folder, "witness");
const entries = Array.from({ length: 300 }, (_, i) => utf8(`entry ${i}`));
const tree = new MemoryTree(entries);
const fork = new MemoryTree(entries.map((_, i) => utf8(`other ${i}`)));

let logKey: SigningKey;
let child: ChildProcess;
let url: string;
let vkeys: string[];

beforeAll(async () => {
  const file = join(folder, "log.key");
  const { status, stdout } = await claw(["ledger", "keygen", file, "--name", ORIGIN]);
  expect(status).toBe(0);
  logKey = signingKey(readOrMakeKey(file, NOTE_KEY.ED25519), {
    name: ORIGIN,
    type: NOTE_KEY.ED25519,
    now: () => 0,
  });
  expect(stdout).toBe(`${logKey.vkey}\n`);
  writeFileSync(join(folder, "logs"), stdout);
  await serve();
});

afterAll(() => stop());

async function serve(): Promise<void> {
  child = start(["ledger", "witness", state, "--listen", "127.0.0.1:0", "--logs", join(folder, "logs")]);
  let said = "";
  for await (const part of child.stdout ?? []) {
    said += part;
    if (said.includes("listens on")) break;
  }
  vkeys = said.split("\n").filter((line) => /^\S+\+[0-9a-f]{8}\+/.test(line));
  url = /http:\S+(?=\.\n)/.exec(said)?.[0] ?? "";
}

async function stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  const ended = exitOf(child);
  child.kill(signal);
  await ended;
}

async function post(
  body: string | Uint8Array,
): Promise<{ status: number; type: string | null; body: string }> {
  const answer = await fetch(`${url}/add-checkpoint`, { method: "POST", body: Buffer.from(body) });
  return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
}

function note(size: number, of = tree, signer = logKey): string {
  return signNote(formatCheckpoint({ origin: ORIGIN, size, root: of.root(size) }), [signer]);
}

async function request(from: number, to: number, of = tree): Promise<string> {
  const proof = await consistencyProof(from, to, of.reader(to));
  return [`old ${from}`, ...proof.map(toBase64), "", note(to, of)].join("\n");
}

test("the witness cosigns for its client, with both keys, and knows what it cosigned after SIGKILL", async () => {
  expect(vkeys).toHaveLength(2);
  const call = (body: string): ReturnType<typeof post> => post(body);
  for (const [size, known] of [
    [7, 0],
    [40, 0],
    [300, 40],
  ] as const) {
    for (const vkey of vkeys) {
      const verifier = noteVerifier(vkey);
      const cosigned = await cosign(
        note(size),
        { verifier, call },
        { oldSize: known, read: tree.reader(size) },
      );
      expect(openNote(cosigned, [verifier]).verified).toEqual([verifier]);
    }
    await stop("SIGKILL");
    await serve();
  }
  expect(await post(await request(0, 300))).toEqual({ status: 409, type: "text/x.tlog.size", body: "300\n" });
});

test("the witness refuses what is stale, equivocating, forked, foreign, malformed or too large", async () => {
  const grown = new MemoryTree([...entries, ...entries.map((_, i) => utf8(`more ${i}`))]);
  const status = async (body: string | Uint8Array): Promise<number> => (await post(body)).status;
  expect(await status(await request(40, 300))).toBe(409);
  expect(await status(`old 300\n\n${note(300, fork)}`)).toBe(422);
  expect(await status(`old 300\n\n${note(310, grown)}`)).toBe(422);
  expect(await status(`old 300\n\n${note(40)}`)).toBe(400);
  expect(await status((await request(300, 310, grown)).replace(ORIGIN, "stranger.example"))).toBe(404);
  const stranger = signingKey(readOrMakeKey(join(folder, "stranger"), NOTE_KEY.ED25519), {
    name: ORIGIN,
    type: NOTE_KEY.ED25519,
    now: () => 0,
  });
  expect(await status(`old 300\n\n${note(310, grown, stranger)}`)).toBe(403);
  for (const bad of ["", "old", "old 300\n\n", `old 300\nx\n\n${note(300)}`, Uint8Array.of(0xff, 0xfe)]) {
    expect(await status(bad)).toBe(400);
  }
  expect(await status("x".repeat(300 * 1024))).toBe(413);
  expect((await fetch(`${url}/add-checkpoint`)).status).toBe(404);
  expect((await fetch(`${url}/other`, { method: "POST", body: "x" })).status).toBe(404);
  expect(await halfRequest()).toMatch(/^HTTP\/1.1 400 /);
  const [winner, loser] = await Promise.all(
    [request(300, 310, grown), request(300, 320, grown)].map(async (body) => status(await body)),
  );
  expect([winner, loser].sort()).toEqual([200, 409]);
});

/** Bytes that are no HTTP. */
function halfRequest(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.end("nonsense\r\n\r\n"));
    let said = "";
    socket.on("data", (part) => {
      said += part;
    });
    socket.once("close", () => resolve(said));
    socket.once("error", reject);
  });
}

test("the witness's folder has one user; a key that is open to others or lost is refused", async () => {
  const again = (): ReturnType<typeof claw> =>
    claw(["ledger", "witness", state, "--listen", "127.0.0.1:0", "--logs", join(folder, "logs")]);
  expect(await again()).toMatchObject({ status: 1, stderr: expect.stringContaining("Another process") });
  await stop();
  const key = join(state, "witness.key");
  chmodSync(key, 0o644);
  expect(await again()).toMatchObject({ status: 1, stderr: expect.stringContaining("chmod 600") });
  chmodSync(key, 0o600);
  copyFileSync(key, join(folder, "saved.key"));
  rmSync(key);
  expect(await again()).toMatchObject({ status: 1, stderr: expect.stringContaining("missing") });
  copyFileSync(join(folder, "saved.key"), key);
  await serve();
});

test("ledger verify accepts a whole folder and names the first file that is not", async () => {
  const [whole, other] = [join(folder, "log"), join(folder, "other")];
  for (const [path, word] of [
    [whole, "entry"],
    [other, "other"],
  ] as const) {
    const log = await Log.open({
      storage: new FileStorage(new FolderDisk(path)),
      origin: ORIGIN,
      signers: [logKey],
      verifiers: [noteVerifier(logKey.vkey)],
    });
    await Promise.all(Array.from({ length: 600 }, (_, i) => log.add(utf8(`${word} ${i}`))));
    await log.publish();
    await Promise.all(Array.from({ length: 5 }, (_, i) => log.add(utf8(`later ${i}`))));
    await log.close();
  }
  const verify = (path: string, key = logKey.vkey): ReturnType<typeof claw> =>
    claw(["ledger", "verify", path, "--key", key, "--json"]);
  const { status, stdout } = await verify(whole);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ origin: ORIGIN, size: 600, journaled: 5, signedBy: [ORIGIN] });
  const info = JSON.parse((await claw(["ledger", "info", whole, "--json"])).stdout) as object;
  expect(info).toMatchObject({ origin: ORIGIN, size: 600 });
  expect(await verify(whole, vkeys[0])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("No known key"),
  });
  expect(await verify(join(folder, "nowhere"))).toMatchObject({ status: 1 });

  const flip = (path: string): void => {
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(50) ^ 4, 50);
    writeFileSync(path, bytes);
  };
  const journal = "journal/0000000000000000";
  const damages: readonly (readonly [string, (path: string) => void, string])[] = [
    ["tile/0/001", flip, "tile/0/001"],
    ["tile/0/002.p/88", (path) => truncateSync(path, 64), "tile/0/002.p/88"],
    ["tile/entries/000", flip, "tile/0/000"],
    ["tile/entries/001", (path) => truncateSync(path, 1000), "tile/entries/001"],
    ["tile/1/000.p/2", (path) => rmSync(path), "tile/1/000.p/2"],
    [journal, flip, "journal lacks entry"],
    [journal, (path) => truncateSync(path, 1000), "journal lacks entry"],
    [journal, (path) => copyFileSync(join(other, journal), path), "entry 512 of the checkpoint"],
  ];
  for (const [i, [path, damage, named]] of damages.entries()) {
    const copy = join(folder, `damaged-${i}`);
    cpSync(whole, copy, { recursive: true });
    damage(join(copy, path));
    const audited = auditLog(storedInFiles(new FolderDisk(copy)), [noteVerifier(logKey.vkey)]);
    await expect(audited, path).rejects.toMatchObject({
      code: "E_LEDGER",
      message: expect.stringContaining(named),
    });
  }
  expect(await verify(join(folder, "damaged-0"))).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("tile/0/001"),
  });
  const copy = join(folder, "published");
  cpSync(whole, copy, { recursive: true });
  rmSync(join(copy, "journal"), { recursive: true });
  expect(JSON.parse((await verify(copy)).stdout)).toMatchObject({ size: 600, journaled: 0 });
});
