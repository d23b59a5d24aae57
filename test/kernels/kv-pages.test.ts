/** KV pages move whole: whatever attention reads from a page, it reads from a copy of it. */

import { expect, test } from "vitest";
import { type Device, KV_PAGE_TOKENS, type KvShape, kvPageBytes } from "../../src/kernels/mod.ts";
import { nativeDevices, referenceDevice } from "./devices.ts";
import { Random } from "./random.ts";

const shape: KvShape = { format: "f16", pages: 6, layers: 2, heads: 3, headDim: 16 };

function allocated(open: () => Device, format: KvShape["format"] = "f16"): Device {
  const device = open();
  device.allocateKv({ ...shape, format });
  return device;
}

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.between(0, 255));
}

function contents(device: Device): Uint8Array[] {
  return Array.from({ length: shape.pages }, (_, page) => {
    const bytes = new Uint8Array(device.kvPageBytes);
    device.readPage(page, bytes);
    return bytes;
  });
}

const devices = [referenceDevice, ...nativeDevices];

test.each(devices)("$name copies, reads and writes whole pages, and touches no other", ({ open }) => {
  const device = allocated(open);
  const random = new Random(7);
  const expected = contents(device);
  for (let i = 0; i < 60; i++) {
    const [from, to] = [random.between(0, shape.pages - 1), random.between(0, shape.pages - 1)];
    if (random.chance(2)) {
      const bytes = randomBytes(random, device.kvPageBytes);
      device.writePage(to, bytes);
      expected[to] = bytes;
    } else {
      device.copyPage(from, to);
      expected[to] = expected[from] as Uint8Array;
    }
    expect(contents(device)).toEqual(expected);
  }
  device.close();
});

test.each(devices)("$name refuses pages and sizes that are not there", ({ open }) => {
  const device = allocated(open);
  const bytes = new Uint8Array(device.kvPageBytes);
  for (const page of [-1, shape.pages]) {
    expect(() => device.readPage(page, bytes)).toThrow("no KV page");
    expect(() => device.writePage(page, bytes)).toThrow("no KV page");
    expect(() => device.copyPage(0, page)).toThrow("no KV page");
    expect(() => device.copyPage(page, 0)).toThrow("no KV page");
    expect(() => device.discardPage(page)).toThrow("no KV page");
  }
  expect(() => device.readPage(0, bytes.subarray(1))).toThrow("another size");
  expect(() => device.writePage(0, bytes.subarray(1))).toThrow("another size");
  device.close();
});

test.each(devices)("$name gives discarded pages back and keeps their neighbours", ({ open }) => {
  const device = allocated(open);
  const random = new Random(8);
  const expected = contents(device).map((page) => randomBytes(random, page.length));
  for (const [page, bytes] of expected.entries()) device.writePage(page, bytes);
  device.discardPage(2);
  for (const [page, bytes] of contents(device).entries()) {
    if (page !== 2) expect(bytes).toEqual(expected[page]);
  }
  device.close();
});

test.each(["f16", "f32", "i8"] as const)(
  "the reference's discarded pages are as at first, kept as %s",
  (format) => {
    const device = allocated(referenceDevice.open, format);
    const fresh = contents(device);
    const random = new Random(9);
    for (let page = 0; page < shape.pages; page++)
      device.writePage(page, randomBytes(random, device.kvPageBytes));
    expect(contents(device)).not.toEqual(fresh);
    for (let page = 0; page < shape.pages; page++) device.discardPage(page);
    expect(contents(device)).toEqual(fresh);
    device.close();
  },
);

test("a page is as large as its keys and values", () => {
  expect(kvPageBytes(shape)).toBe(2 * 2 * 3 * 16 * KV_PAGE_TOKENS * 2);
  expect(kvPageBytes({ ...shape, format: "f32" })).toBe(2 * kvPageBytes(shape));
  // A byte for each value, and a scale for each vector.
  expect(kvPageBytes({ ...shape, format: "i8" })).toBe(2 * 2 * 3 * (16 + 4) * KV_PAGE_TOKENS);
});
