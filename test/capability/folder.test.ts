import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LIST_BYTES_MAX } from "../../src/capability/limits.ts";
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

test("ids are added once each, also after a line that was left open", () => {
  const folder = new TokenFolder(join(home, "once"));
  expect(folder.revoke(ids(0, 3))).toEqual({ added: 3, all: new Set(ids(0, 3)) });
  expect(folder.revoke([...ids(2, 2), ...ids(2, 2)])).toEqual({ added: 1, all: new Set(ids(0, 4)) });
  writeFileSync(folder.revokedFile, `# lost laptops\n${idOf(9)}`);
  expect(folder.revoke([idOf(7)]).added).toBe(1);
  expect(folder.revoked()).toEqual(new Set([idOf(9), idOf(7)]));
  expect(readFileSync(folder.revokedFile, "utf8")).toBe(`# lost laptops\n${idOf(9)}\n${idOf(7)}\n`);
});

test("ids among which one is none are refused whole", () => {
  const folder = new TokenFolder(join(home, "whole"));
  expect(() => folder.revoke([idOf(1), "none"])).toThrow(expect.objectContaining({ code: "E_PARAMETER" }));
  expect(existsSync(folder.revokedFile)).toBe(false);
});

test("a list never becomes larger than can be read: what does not fit is refused whole, and what is there holds", () => {
  const folder = new TokenFolder(join(home, "full"));
  folder.revoke([idOf(0)]);
  const room = Math.floor(LIST_BYTES_MAX / LINE_BYTES);
  const before = room - 5;
  writeFileSync(
    folder.revokedFile,
    ids(0, before)
      .map((id) => `${id}\n`)
      .join(""),
  );
  expect(() => folder.revoke(ids(before, 6))).toThrow(expect.objectContaining({ code: "E_REVOCATIONS" }));
  expect(folder.revoked().size).toBe(before);
  expect(folder.revoke(ids(before, 5)).added).toBe(5);
  expect(() => folder.revoke([idOf(room)])).toThrow(expect.objectContaining({ code: "E_REVOCATIONS" }));
  expect(statSync(folder.revokedFile).size).toBeLessThanOrEqual(LIST_BYTES_MAX);
  expect(folder.revoked().size).toBe(room);
  // What is there already needs no room.
  expect(folder.revoke(ids(0, 1000)).added).toBe(0);
  writeFileSync(folder.revokedFile, `#${"x".repeat(LIST_BYTES_MAX)}`);
  expect(() => folder.revoked()).toThrow(expect.objectContaining({ code: "E_FILE" }));
});
