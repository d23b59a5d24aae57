/** Our log read and verified by Go's transparency-log packages, which share nothing with it. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NOTE_KEY, noteVerifier, toBase64, utf8 } from "../../src/crypto/mod.ts";
import {
  consistencyProof,
  FileStorage,
  FolderDisk,
  inclusionProof,
  Log,
  readOrMakeKey,
  type SigningKey,
  signingKey,
} from "../../src/ledger/mod.ts";

const GOPATH = "/usr/share/gocode";
const present = hasGo() && existsSync(`${GOPATH}/src/golang.org/x/mod/sumdb/tlog`);
const why = present ? "" : " (skipped: the packages golang-go and golang-golang-x-mod-dev are not installed)";

function hasGo(): boolean {
  try {
    execFileSync("go", ["version"]);
    return true;
  } catch {
    return false;
  }
}

let folder: string;
let verifyProgram: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-go-"));
  if (!present) return;
  verifyProgram = join(folder, "verify");
  const env = { ...process.env, GO111MODULE: "off", GOPATH, GOFLAGS: "", GOCACHE: join(folder, "cache") };
  execFileSync("go", ["build", "-o", verifyProgram, join(import.meta.dirname, "go/verify.go")], { env });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Task {
  readonly folder: string;
  readonly verifierKey: string;
  readonly proofs: readonly { readonly index: number; readonly hashes: readonly string[] }[];
  readonly older: readonly { readonly checkpoint: string; readonly hashes: readonly string[] }[];
}

function goVerify(task: Task): { entries: number; root: string } {
  const output = execFileSync(verifyProgram, {
    input: JSON.stringify(task),
    stdio: ["pipe", "pipe", "pipe"],
  });
  return JSON.parse(output.toString()) as { entries: number; root: string };
}

describe.skipIf(!present)(`golang.org/x/mod/sumdb${why}`, () => {
  test("accepts checkpoints, tiles, inclusion and consistency proofs, and refuses altered ones", async () => {
    const origin = "ledger.example/go";
    const make = (type: 1 | 6): SigningKey =>
      signingKey(readOrMakeKey(join(folder, `key-${type}`), type), {
        name: origin,
        type,
        now: () => 1_764_000_000,
      });
    const signers = [make(NOTE_KEY.ED25519), make(NOTE_KEY.COSIGNATURE_ML_DSA_44)];
    const verifiers = signers.map(({ vkey }) => noteVerifier(vkey));
    const disk = new FolderDisk(join(folder, "log"));
    const log = await Log.open({ storage: new FileStorage(disk), origin, signers, verifiers });
    const older: string[] = [];
    for (const size of [1, 2, 255, 256, 257, 700, 1300]) {
      if (log.size > 0) older.push(log.signedCheckpoint);
      const missing = Array.from({ length: size - log.size }, (_, i) => utf8(`entry ${log.size + i}`));
      await Promise.all(missing.map((entry) => log.add(entry)));
      await log.publish();
    }
    const { size, root } = log.checkpoint;
    const task: Task = {
      folder: join(folder, "log"),
      verifierKey: (signers[0] as SigningKey).vkey,
      proofs: await Promise.all(
        [0, 254, 255, 256, 1023, 1299].map(async (index) => ({
          index,
          hashes: (await inclusionProof(index, size, (name) => log.tile(name))).map(toBase64),
        })),
      ),
      older: await Promise.all(
        older.map(async (checkpoint) => ({
          checkpoint,
          hashes: (await consistencyProof(sizeOf(checkpoint), size, (name) => log.tile(name))).map(toBase64),
        })),
      ),
    };
    expect(goVerify(task)).toEqual({ entries: 1300, root: toBase64(root) });
    const [first, ...rest] = task.proofs as [Task["proofs"][number], ...Task["proofs"]];
    expect(() => goVerify({ ...task, proofs: [{ ...first, index: 1 }, ...rest] })).toThrow();
    const path = join(folder, "log/tile/0/000");
    const tile = (await disk.read("tile/0/000")) as Uint8Array;
    writeFileSync(
      path,
      tile.map((byte, i) => (i === 77 ? byte ^ 4 : byte)),
    );
    expect(() => goVerify(task)).toThrow();
    await disk.close();
  });
});

function sizeOf(checkpoint: string): number {
  return Number(checkpoint.split("\n")[1]);
}
