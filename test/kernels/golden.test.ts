/** The committed vectors: bits that no device, the reference included, may change. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { nativeDevices, referenceDevice } from "./devices.ts";
import { decodeGolden } from "./golden/codec.ts";
import { difference, runCase } from "./kernel-case.ts";

const folder = new URL("golden/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
const VECTORS_MIN = 30;

describe.each([referenceDevice, ...nativeDevices])("golden vectors on $name", ({ open }) => {
  test.each(files)("%s", async (file) => {
    const device = open();
    for (const { test: kernelCase, outcome } of decodeGolden(readFileSync(new URL(file, folder), "utf8"))) {
      expect(difference(outcome, await runCase(device, kernelCase)), kernelCase.name).toBeUndefined();
    }
    device.close();
  });
});

test("there are vectors for every kernel", () => {
  const vectors = files.flatMap((file) => decodeGolden(readFileSync(new URL(file, folder), "utf8")));
  expect(vectors.length).toBeGreaterThanOrEqual(VECTORS_MIN);
  const numbers = vectors.flatMap(({ outcome }) => outcome.values.map((values) => values.length));
  expect(Math.min(...numbers)).toBeGreaterThan(0);
});
