import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Opening, type Receipt, verifyReceipt } from "../../src/records/mod.ts";
import { claw } from "../cli/claw.ts";
import { type Made, makeLog, opening } from "./receipts.ts";

const folder = mkdtempSync(join(tmpdir(), "claw-receipt-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made: Made;
let receipt: Receipt;

beforeAll(async () => {
  made = await makeLog(folder, "log");
  receipt = made.receipts[2] as Receipt;
});

const verify = (altered: Receipt | string, keys = [made.key.vkey]): ReturnType<typeof verifyReceipt> =>
  verifyReceipt(typeof altered === "string" ? altered : JSON.stringify(altered), { keys });
const refused = (code: string): unknown => expect.objectContaining({ code });

test("a receipt is verified with the log's key, tokens and all", () => {
  expect(verify(receipt)).toMatchObject({
    index: 2,
    entry: { kind: "close", tokens: 2 },
    log: { origin: "ledger.example/log", size: 3 },
    opened: true,
    outputOpened: true,
  });
  const { prompt } = opening;
  expect(verify({ ...receipt, opening: { prompt } })).toMatchObject({ opened: true, outputOpened: false });
  for (const each of made.receipts.slice(0, 2)) expect(verify(each)).toMatchObject({ opened: false });
});

test("no altered character of entry, proof or tokens passes", () => {
  const codes = new Map<string, number>();
  const note = (altered: Receipt | string): void => {
    try {
      verify(altered);
      codes.set("accepted", (codes.get("accepted") ?? 0) + 1);
    } catch (error) {
      const { code } = error as { code: string };
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  };
  const alter = (text: string, at: number): string =>
    `${text.slice(0, at)}${text[at] === "A" ? "B" : "A"}${text.slice(at + 1)}`;
  for (let at = 0; at < receipt.entry.length; at += 7) note({ ...receipt, entry: alter(receipt.entry, at) });
  for (let at = 0; at < receipt.proof.length; at += 3) note({ ...receipt, proof: alter(receipt.proof, at) });
  const whole = JSON.stringify(receipt);
  for (let at = 0; at < whole.length; at += 11) note(whole.slice(0, at));
  for (const output of [
    { ...opening.output, tokens: [9, 9] },
    { ...opening.output, tokens: [9] },
    { ...opening.output, tokens: [9 + 2 ** 32, 8] }, // hashed as 9 is, if it were taken
    { ...opening.output, salt: "00".repeat(32) },
  ]) {
    note({ ...receipt, opening: { ...opening, output: output as NonNullable<Opening["output"]> } });
  }
  note({ ...receipt, opening: { prompt: { ...opening.prompt, tokens: [5, 6] } } });
  expect(codes.get("accepted")).toBeUndefined();
  expect([...codes.keys()].sort()).toEqual(["E_ENTRY", "E_NOTE", "E_PROOF", "E_RECEIPT"]);
  for (const count of codes.values()) expect(count).toBeGreaterThan(3);
});

test("another log's key, a stale checkpoint, another entry's proof and an unknown field are refused", async () => {
  const other = await makeLog(folder, "other");
  expect(() => verify(receipt, [other.key.vkey])).toThrow(refused("E_NOTE"));
  expect(() => verify(receipt, [])).toThrow(refused("E_NOTE"));
  const [first] = made.receipts as [Receipt];
  expect(() => verify({ ...receipt, proof: first.proof })).toThrow(refused("E_PROOF"));
  const stale = receipt.proof.replace("index 2", "index 3");
  expect(() => verify({ ...receipt, proof: stale })).toThrow(refused("E_PROOF"));
  expect(() => verify({ ...receipt, more: 1 } as Receipt)).toThrow(refused("E_RECEIPT"));
  expect(() => verify("x".repeat(16 * 1024 * 1024 + 1))).toThrow(refused("E_RECEIPT"));
  const policy = { keys: [made.key.vkey], witnesses: [other.key.vkey] };
  expect(() => verifyReceipt(JSON.stringify(receipt), policy)).toThrow(refused("E_PROOF"));
  expect(verifyReceipt(JSON.stringify(receipt), { ...policy, witnessesMin: 0 })).toMatchObject({ index: 2 });
});

test("a log that shows two roots for one size is found out", async () => {
  const fork = await makeLog(folder, "fork", made.key);
  const forked = JSON.stringify(fork.receipts[2]);
  expect(verify(forked)).toMatchObject({ index: 2 });
  const policy = { keys: [made.key.vkey], known: made.log.checkpoint };
  expect(verifyReceipt(JSON.stringify(receipt), policy)).toMatchObject({ index: 2 });
  expect(() => verifyReceipt(forked, policy)).toThrow(refused("E_PROOF"));
});

test("`claw receipt verify` answers with an exit code, for people and as JSON", async () => {
  const [file, keyFile] = [join(folder, "receipt.json"), join(folder, "key.pub")];
  writeFileSync(file, JSON.stringify(receipt));
  writeFileSync(keyFile, `${made.key.vkey}\n`);
  const people = await claw(["receipt", "verify", file, "--key", made.key.vkey]);
  expect(people).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("Entry 2 is in the log ledger.example/log"),
  });
  const json = await claw(["receipt", "verify", file, "--key", keyFile, "--json"]);
  expect(JSON.parse(json.stdout)).toMatchObject({ index: 2, opened: true });
  writeFileSync(
    file,
    JSON.stringify({ ...receipt, opening: { prompt: { ...opening.prompt, tokens: [1] } } }),
  );
  const bad = await claw(["receipt", "verify", file, "--key", keyFile]);
  expect(bad).toMatchObject({ status: 1, stderr: expect.stringContaining("prompt's tokens are not those") });
  expect(await claw(["receipt", "verify", file])).toMatchObject({ status: 2 });
});
