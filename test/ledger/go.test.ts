/** Our log read and verified by Go's transparency-log packages, which share nothing with it. */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
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
import { bannerOf, makeTinyModel, repository, start } from "../cli/claw.ts";
import { alteredReceipts } from "../records/receipts.ts";

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
  verifyProgram = goBuild("verify-log", readFileSync(join(import.meta.dirname, "go/verify.go"), "utf8"));
});

/** The path of the program with this text. */
function goBuild(name: string, text: string): string {
  const [sources, program] = [join(folder, `${name}-sources`), join(folder, name)];
  mkdirSync(sources);
  writeFileSync(join(sources, "main.go"), text);
  const env = { ...process.env, GO111MODULE: "off", GOPATH, GOFLAGS: "", GOCACHE: join(folder, "cache") };
  execFileSync("go", ["build", "-o", program, join(sources, "main.go")], { env });
  return program;
}

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

/** A receipt that `claw serve` gave for an answer, and what the answer said of it. */
async function servedReceipt(ledger: string): Promise<{ text: string; entry: number; leafHash: string }> {
  const model = makeTinyModel(folder);
  const args = ["serve", "--model", model, "--port", "0", "--no-auth", "--no-cache", "--ledger", ledger];
  const server = start(args, { env: { XDG_STATE_HOME: join(folder, "state") } });
  onTestFinished(() => void server.kill("SIGKILL"));
  const { url } = await bannerOf(server);
  const ask = { prompt: "Once", max_tokens: 40, ignore_eos: true, seed: 1 };
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify(ask),
  });
  const { openclaw } = (await response.json()) as {
    openclaw: { records: [{ entry: number; leaf_hash: string }] };
  };
  const [{ entry, leaf_hash: leafHash }] = openclaw.records;
  const text = await (await fetch(`${url}/v1/receipts/${entry}`)).text();
  return { text, entry, leafHash };
}

describe.skipIf(!present)(`the Go program of docs/reference/ledger.md${why}`, () => {
  test("accepts a running server's receipt, and refuses it altered or with another log's key", async () => {
    const page = readFileSync(join(repository, "docs/reference/ledger.md"), "utf8");
    const program = goBuild("verify-receipt", /^```go\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? "");
    const ledger = join(folder, "ledger");
    const { text, entry, leafHash } = await servedReceipt(ledger);
    const file = join(folder, "receipt.json");
    const verify = (receipt: string, keys: string): { status: number | null; stdout: string } => {
      writeFileSync(file, receipt);
      return spawnSync(program, [file, keys], { encoding: "utf8" });
    };
    const keys = join(ledger, "log.pub");
    const { status, stdout } = verify(text, keys);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringMatching(
        `^entry ${entry} of \\d+ in openclaw.local/ledger, leaf ${leafHash}\\n\\{`,
      ),
    });
    expect(JSON.parse(stdout.split("\n")[1] ?? "")).toMatchObject({
      kind: "close",
      tokens: 40,
      sampling: { seed: 1, max_tokens: 40 },
    });
    const altered = alteredReceipts(JSON.parse(text));
    expect(altered.length).toBeGreaterThanOrEqual(9);
    for (const { what, receipt } of altered) expect([what, verify(receipt, keys).status]).toEqual([what, 1]);
    const other = join(folder, "other.pub");
    const name = "openclaw.local/ledger";
    const key = readOrMakeKey(join(folder, "other.pem"), NOTE_KEY.ED25519);
    writeFileSync(other, signingKey(key, { name, type: NOTE_KEY.ED25519, now: () => 0 }).vkey);
    expect(verify(text, other).status).toBe(1);
  });
});

function sizeOf(checkpoint: string): number {
  return Number(checkpoint.split("\n")[1]);
}
