import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LIST_BYTES_MAX, LIST_BYTES_READ_MAX } from "../../src/capability/limits.ts";
import { TokenFolder } from "../../src/capability/mod.ts";

/** Of a line with an id of 64 bytes. */
const LINE_BYTES = 129;

let home: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "claw-revoked-"));
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

const idOf = (n: number): string => n.toString(16).padStart(128, "0");
const ids = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, n) => idOf(from + n));

/** Of so many first ids, how many are revoked. */
function countOf(folder: TokenFolder, most: number): number {
  const revoked = folder.revoked();
  return ids(0, most).filter((id) => revoked.has(id)).length;
}

test("ids are added once each, also after a line that was left open", () => {
  const folder = new TokenFolder(join(home, "once"));
  expect(folder.revoke(ids(0, 3)).added).toBe(3);
  const { added, all } = folder.revoke([...ids(2, 2), ...ids(2, 2)]);
  expect([added, ids(0, 5).map((id) => all.has(id))]).toEqual([1, [true, true, true, true, false]]);
  writeFileSync(folder.revokedFile, `# lost laptops\n${idOf(9)}`);
  expect(folder.revoke([idOf(7)]).added).toBe(1);
  const revoked = folder.revoked();
  expect([9, 7, 0].map((n) => revoked.has(idOf(n)))).toEqual([true, true, false]);
  expect(readFileSync(folder.revokedFile, "utf8")).toBe(`# lost laptops\n${idOf(9)}\n${idOf(7)}\n`);
});

test("ids among which one is none are refused whole", () => {
  const folder = new TokenFolder(join(home, "whole"));
  expect(() => folder.revoke([idOf(1), "none"])).toThrow(expect.objectContaining({ code: "E_PARAMETER" }));
  expect(existsSync(folder.revokedFile)).toBe(false);
});

test("a list never becomes larger than can be read: what does not fit is refused whole, and what is there holds", () => {
  const folder = new TokenFolder(join(home, "full"));
  folder.revoke(ids(0, 100));
  // Room for five more, and not for a sixth.
  const words = `# ${"x".repeat(LIST_BYTES_MAX - 105 * LINE_BYTES - 10)}\n`;
  writeFileSync(folder.revokedFile, words + readFileSync(folder.revokedFile, "utf8"));
  expect(() => folder.revoke(ids(100, 6))).toThrow(expect.objectContaining({ code: "E_REVOCATIONS" }));
  expect(countOf(folder, 110)).toBe(100);
  expect(folder.revoke(ids(100, 5)).added).toBe(5);
  expect(() => folder.revoke([idOf(105)])).toThrow(expect.objectContaining({ code: "E_REVOCATIONS" }));
  expect(statSync(folder.revokedFile).size).toBeLessThanOrEqual(LIST_BYTES_MAX);
  expect(countOf(folder, 110)).toBe(105);
  // What is there already needs no room.
  expect(folder.revoke(ids(0, 100)).added).toBe(0);
  writeFileSync(folder.revokedFile, `#${"x".repeat(LIST_BYTES_READ_MAX)}`);
  expect(() => folder.revoked()).toThrow(expect.objectContaining({ code: "E_FILE" }));
});

test("what is left of a line revokes what begins like it, zeros are passed over, and anything else is refused", () => {
  const folder = new TokenFolder(join(home, "cut"));
  folder.revoke([idOf(1)]);
  const id = (digit: string): string => digit.repeat(128);
  writeFileSync(
    folder.revokedFile,
    `${id("a").slice(0, 16)}\n${id("b").slice(0, 127)}\n${id("c").slice(0, 15)}\n${idOf(2)}\n\0\0\0`,
  );
  const revoked = folder.revoked();
  expect(["a", "b", "c"].map((digit) => revoked.has(id(digit)))).toEqual([true, true, false]);
  expect([1, 2, 3].map((n) => revoked.has(idOf(n)))).toEqual([false, true, false]);
  expect(folder.revoke([id("a")]).added).toBe(0);
  writeFileSync(folder.revokedFile, `${idOf(1)}\nnobody\n`);
  expect(() => folder.revoked()).toThrow(expect.objectContaining({ code: "E_TOKEN_KEY" }));
});

/** A process that revokes; returns what ends it and tells what it did. */
function startRevoker(path: string, ...more: readonly string[]): () => Promise<Revoked> {
  const script = fileURLToPath(new URL("revoker.ts", import.meta.url));
  const child = spawn(process.execPath, [script, path, ...more], { stdio: ["pipe", "pipe", "inherit"] });
  const output = text(child.stdout);
  const exit = once(child, "exit");
  return async () => {
    child.stdin.end();
    expect((await exit)[0]).toBe(0);
    return JSON.parse(await output) as Revoked;
  };
}

interface Revoked {
  readonly acknowledged: readonly string[];
  readonly refused: number;
}

test("processes that add at once, one of them where writes are cut, lose nothing that was acknowledged", async () => {
  const folder = new TokenFolder(join(home, "several"));
  folder.revoke([idOf(0)]);
  const ends = [["a"], ["b"], ["c", "scarce"]].map((more) => startRevoker(folder.path, ...more));
  for (const deadline = Date.now() + 30_000; ; await sleep(50)) {
    const lines = readFileSync(folder.revokedFile, "latin1").split("\n");
    const cut = lines.filter((line) => line.length > 0 && line.length < 128).length;
    if ((cut >= 20 && lines.length > 200) || Date.now() > deadline) break;
  }
  const told = await Promise.all(ends.map((end) => end()));
  const acknowledged = told.flatMap((one) => one.acknowledged);
  const revoked = folder.revoked();
  expect(acknowledged.filter((id) => !revoked.has(id))).toEqual([]);
  for (const { acknowledged } of told) expect(acknowledged.length).toBeGreaterThan(0);
  expect(told[2]?.refused).toBeGreaterThanOrEqual(20);
  expect(acknowledged.length).toBeGreaterThan(100);
});
