/** Copies of pages in two places. */

import { expect, test } from "vitest";
import { LayeredPageStore } from "../../src/engine/layered-page-store.ts";
import { MemoryPageStore } from "../../src/engine/page-store.ts";

const page = (fill: number): Uint8Array => new Uint8Array(10).fill(fill);

test("what is put lies in both; what one lacks the other gives, and it is at hand from then on", async () => {
  const near = new MemoryPageStore(20);
  const far = new MemoryPageStore(100);
  const store = new LayeredPageStore(near, far);
  for (const [i, key] of ["a", "b", "c"].entries()) store.put(key, page(i));
  expect([near.has("a"), far.has("a"), near.has("c")]).toEqual([false, true, true]);
  expect([store.has("a"), store.has("c"), store.has("x")]).toEqual([false, true, false]);
  expect(await store.find(["x", "b", "a", "y", "c"])).toEqual([
    undefined,
    page(1),
    page(0),
    undefined,
    page(2),
  ]);
  expect(near.has("a")).toBe(true);
  store.drop("a");
  expect(await store.find(["a"])).toEqual([undefined]);
  expect([near.has("a"), far.has("a")]).toEqual([false, false]);
});

test("what is used here does not give way there", () => {
  const far = new MemoryPageStore(20);
  const store = new LayeredPageStore(new MemoryPageStore(100), far);
  for (const key of ["a", "b"]) store.put(key, page(1));
  store.has("a");
  store.put("c", page(2));
  expect(["a", "b", "c"].map((key) => far.has(key))).toEqual([true, false, true]);
});
