/** `openclaw/verify` as others get it: out of the packed tarball, in an empty project, with no other package and no network. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Receipt } from "../../src/records/mod.ts";
import { repository } from "../cli/claw.ts";
import { alteredReceipts, type Made, makeLog } from "../records/receipts.ts";

const folder = mkdtempSync(join(tmpdir(), "claw-package-"));
const project = join(folder, "project");
const installed = join(project, "node_modules/openclaw");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made: Made;

beforeAll(async () => {
  made = await makeLog(folder, "log");
  const env = { ...process.env, npm_config_offline: "true", npm_config_update_notifier: "false" };
  execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: repository, env });
  const [tarball = ""] = readdirSync(folder).filter((name) => /^openclaw-.+\.tgz$/.test(name));
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);
});

/** Verifies what standard input lists, as a program of somebody else would. */
const program = `
import { readFileSync } from "node:fs";
import { ClawError, publicKeys, verifyReceipt } from "openclaw/verify";
const outcome = ([receipt, policy]) => {
  try {
    const { entry, index, opened, outputOpened } = verifyReceipt(receipt, policy);
    return { kind: entry.kind, index, opened, outputOpened };
  } catch (error) {
    return error instanceof ClawError && error.remedy.length > 0 ? error.code : String(error);
  }
};
const { calls, keys } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(calls.map(([receipt, policy]) => outcome([receipt, policy ?? { keys: publicKeys(keys) }]))));
`;

/** The outcome of `verifyReceipt` for each receipt, with the log's key or another policy. */
function outcomes(...calls: readonly (readonly [receipt: unknown, policy?: object])[]): unknown[] {
  const file = join(project, "verify.mjs");
  writeFileSync(file, program);
  const input = JSON.stringify({ calls, keys: `${made.key.vkey}\n` });
  // No flag and no variable of this process: a plain Node.
  const output = execFileSync(process.execPath, [file], {
    cwd: project,
    input,
    env: { PATH: process.env["PATH"] },
  });
  return JSON.parse(output.toString()) as unknown[];
}

test("verifies receipts of every kind, and refuses altered ones with the code", () => {
  const receipts = made.receipts.map((receipt) => [JSON.stringify(receipt)] as const);
  const plain = { opened: false, outputOpened: false };
  expect(outcomes(...receipts)).toEqual([
    { kind: "open", index: 0, ...plain },
    { kind: "progress", index: 1, ...plain },
    { kind: "close", index: 2, opened: true, outputOpened: true },
  ]);
  const altered = alteredReceipts(made.receipts[2] as Receipt);
  expect(outcomes(...altered.map(({ receipt }) => [receipt] as const))).toEqual(
    altered.map(({ code }) => code),
  );
  expect(new Set(altered.map(({ code }) => code)).size).toBe(4);
});

test("refuses what no compiler would have let through, with a code", async () => {
  const receipt = JSON.stringify(made.receipts[2]);
  const keys = [made.key.vkey];
  const witness = (await makeLog(folder, "witness")).key.vkey;
  expect(
    outcomes(
      [null],
      [made.receipts[2]],
      [receipt, {}],
      [receipt, { keys: made.key.vkey }],
      [receipt, { keys: [] }],
      [receipt, { keys, witnesses: witness }],
      [receipt, { keys, witnesses: [witness] }],
      [receipt, { keys, witnesses: [witness], witnessesMin: "none" }],
      [receipt, { keys, witnesses: [witness], witnessesMin: -1 }],
      [receipt, { keys, witnesses: [witness], witnessesMin: 0 }],
    ),
  ).toEqual([
    ...["E_RECEIPT", "E_RECEIPT", "E_NOTE", "E_NOTE", "E_NOTE", "E_NOTE", "E_PROOF", "E_PROOF", "E_PROOF"],
    { kind: "close", index: 2, opened: true, outputOpened: true },
  ]);
});

test("is one module that imports nothing, keeps its authors' notice, and is all that the package exports beside the page", () => {
  const module = readFileSync(join(installed, "dist/verify/mod.js"), "utf8");
  const code = module.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  expect(code).toContain("export {");
  expect(code).not.toMatch(/^\s*import\b|\bimport\(|\brequire\(|["']node:|\bfrom\s+["']/m);
  expect(module).toContain("noble-curves - MIT License");
  expect(readFileSync(join(installed, "dist/verify/receipt.html"), "utf8")).toContain(
    "<title>Verify a receipt</title>",
  );
  const names = execFileSync(
    process.execPath,
    ["-e", "import('openclaw').catch(({ code }) => console.log(code))"],
    {
      cwd: project,
    },
  );
  expect(names.toString()).toBe("ERR_PACKAGE_PATH_NOT_EXPORTED\n");
});

const consumer = `
import { ClawError, type Entry, verifyReceipt, type VerifiedReceipt } from "openclaw/verify";
export function rootOf(receipt: string, key: string): string | undefined {
  const { entry }: VerifiedReceipt = verifyReceipt(receipt, { keys: [key] });
  return entry.kind === "progress" ? undefined : entry.model.root;
}
export const codeOf = (error: unknown): string => (error instanceof ClawError ? error.code : "none");
// @ts-expect-error: an entry of progress names no model
export const modelOf = (entry: Entry): unknown => entry.model;
// @ts-expect-error: a receipt is a text
verifyReceipt(5, { keys: [] });
// @ts-expect-error: without keys nothing is verified
verifyReceipt("", {});
`;

test("has types that compile in a strict project without those of Node or of browsers", () => {
  writeFileSync(join(project, "consumer.mts"), consumer);
  const compilerOptions = { strict: true, module: "nodenext", lib: ["es2022"], types: [], noEmit: true };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.mts"] }));
  const compiler = join(repository, "node_modules/typescript/bin/tsc");
  const output = execFileSync(process.execPath, [compiler, "--project", project], { encoding: "utf8" });
  expect(output).toBe("");
});
