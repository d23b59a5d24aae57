/** Copies of pages as files, which outlive whoever made them. */

import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FolderPageStore } from "../../src/engine/folder-page-store.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-pages-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const page = (fill: number): Uint8Array => new Uint8Array(1000).fill(fill);

function open(change: { identity?: string; bytesMax?: number; onForgotten?: () => void } = {}) {
  return new FolderPageStore({ folder, identity: "model", bytesMax: 1e6, ...change });
}

/** What is found, by its first byte. */
async function find(store: FolderPageStore, ...keys: string[]): Promise<(number | undefined)[]> {
  return (await store.find(keys)).map((bytes) => bytes?.[0]);
}

describe("copies in a folder", () => {
  test("are found at once by who made them, and later by another of the same model", async () => {
    const one = open();
    one.put("a", page(1));
    one.put("b", page(2));
    expect(one.has("a")).toBe(true);
    expect(await find(one, "b", "a", "c")).toEqual([2, 1, undefined]);
    await one.settled();
    expect(readdirSync(folder)).toHaveLength(2);
    const other = open();
    expect(await other.find(["a", "b"])).toEqual([page(1), page(2)]);
    expect(other.has("a")).toBe(true);
    expect(await find(open({ identity: "another" }), "a", "b")).toEqual([undefined, undefined]);
  });

  test("are put and dropped in order, also while they are written", async () => {
    const store = open();
    for (let i = 0; i < 20; i++) {
      store.put("a", page(i));
      if (i % 2 === 0) store.drop("a");
    }
    expect(await find(store, "a")).toEqual([19]);
    store.drop("a");
    expect(store.has("a")).toBe(false);
    await store.settled();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("that were changed, cut short or exchanged are none", async () => {
    const store = open();
    for (const [i, key] of ["a", "b", "c", "d"].entries()) store.put(key, page(i));
    await store.settled();
    const paths = readdirSync(folder).map((name) => join(folder, name));
    const [first = "", second = "", third = ""] = paths;
    const bytes = readFileSync(first);
    writeFileSync(first, bytes.with(500, (bytes[500] ?? 0) ^ 1));
    writeFileSync(second, readFileSync(third));
    writeFileSync(third, readFileSync(third).subarray(0, 20));
    const other = open();
    const found = await find(other, "a", "b", "c", "d");
    await other.settled();
    expect(found.filter((each) => each !== undefined)).toHaveLength(1);
    // What is no copy does not lie about.
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test("keep to a bound, which what others left counts for, too", async () => {
    const one = open();
    for (const key of ["a", "b", "c"]) one.put(key, page(1));
    await one.settled();
    let forgotten = 0;
    const other = open({ bytesMax: 3500, onForgotten: () => forgotten++ });
    expect(await find(other, "b")).toEqual([1]);
    other.put("d", page(2));
    other.put("e", page(3));
    await other.settled();
    expect(forgotten).toBe(2);
    expect(await find(other, "b", "d", "e")).toEqual([1, 2, 3]);
    expect(await find(open(), "a", "c")).toEqual([undefined, undefined]);
  });

  test("of others count for who only puts, and no more when they are gone", async () => {
    const left = open();
    for (const key of ["a", "b", "c"]) left.put(key, page(1));
    await left.settled();
    const one = open({ bytesMax: 3500 });
    one.put("d", page(2));
    await new Promise((resolve) => setTimeout(resolve, 100));
    one.put("e", page(3));
    await one.settled();
    expect(readdirSync(folder)).toHaveLength(3);
    const found = await find(open(), "a", "b", "c", "d", "e");
    expect(found.filter((each) => each === 1)).toHaveLength(1);
    expect(found.slice(3)).toEqual([2, 3]);
  });

  test("that cannot be written are counted, and missed by nobody", async () => {
    let forgotten = 0;
    const store = open({ onForgotten: () => forgotten++ });
    rmSync(folder, { recursive: true });
    store.put("a", page(1));
    await store.settled();
    expect(forgotten).toBe(1);
    expect(store.has("a")).toBe(false);
    expect(await find(store, "a")).toEqual([undefined]);
  });

  test("lie in no folder that others can enter", () => {
    chmodSync(folder, 0o750);
    expect(open).toThrow(/this user alone/);
  });
});
