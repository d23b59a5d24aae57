/** Files that take little room on disk and claim much: what each claim allows must not add up to harm. */

import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openByteSource, readGguf } from "../../src/model/mod.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-sparse-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const F64_KIND = 12;
const ARRAY_KIND = 9;
const ELEMENTS = 2 ** 21;

/** A header of `count` arrays of two million doubles each, all of them holes in the file. */
function sparseFile(count: number): string {
  const path = join(folder, `${count}.gguf`);
  const file = openSync(path, "w");
  const start = Buffer.alloc(24);
  start.write("GGUF", 0, "latin1");
  start.writeUInt32LE(3, 4);
  start.writeBigUInt64LE(BigInt(count), 16);
  let position = writeSync(file, start);
  for (let i = 0; i < count; i++) {
    const pair = Buffer.alloc(8 + 3 + 4 + 4 + 8);
    pair.writeBigUInt64LE(3n, 0);
    pair.write(`k${String(i).padStart(2, "0")}`, 8, "latin1");
    pair.writeUInt32LE(ARRAY_KIND, 11);
    pair.writeUInt32LE(F64_KIND, 15);
    pair.writeBigUInt64LE(BigInt(ELEMENTS), 19);
    writeSync(file, pair, 0, pair.length, position);
    position += pair.length + ELEMENTS * 8;
  }
  ftruncateSync(file, position);
  closeSync(file);
  return path;
}

test("metadata beyond 64 MiB in all are refused, however little of the file is real", () => {
  const path = sparseFile(50);
  expect(statSync(path).blocks * 512).toBeLessThan(2 ** 20);
  const source = openByteSource(path);
  const start = performance.now();
  expect(() => readGguf(source)).toThrow(expect.objectContaining({ code: "E_GGUF_LIMIT" }));
  expect(performance.now() - start).toBeLessThan(5000);
  source.close();
});
