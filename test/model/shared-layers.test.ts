/** Models whose layers are all the same bytes of the file, which is how shapes larger than any memory here are run. */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createRuntime, scoreTokens } from "../../src/engine/mod.ts";
import type { Device } from "../../src/kernels/mod.ts";
import { writeGguf } from "../../src/model/gguf/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import { synthContent, synthesize } from "../../src/model/synth/mod.ts";
import { nativeDevices, reference } from "../engine/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "claw-shared-"));
const shared = join(folder, "shared.gguf");
const whole = join(folder, "whole.gguf");
const synth = { preset: "llama-tiny", layers: 16, type: "q8_0", outliers: false, seed: 3 } as const;
const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 512);

synthesize({ ...synth, sharedLayers: true, out: shared });
// The same tensors, each with bytes of its own.
const content = synthContent({ ...synth, sharedLayers: true });
const apart = [...content.tensors].map(({ sameAs: _, ...tensor }) => tensor);
writeGguf(whole, { ...content, tensors: apart });

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(device: Device, path: string): Promise<{ logits: Buffer[]; weights: number }> {
  const model = openModel(path);
  const logits: Buffer[] = [];
  try {
    const options = { format: "i8", context: 64, batch: 1, rows: 40, outputs: 40 } as const;
    const runtime = await createRuntime(device, model, options);
    await scoreTokens(runtime, tokens, {
      from: 0,
      visit: (_, row) => logits.push(Buffer.from(row.slice().buffer)),
    });
    return { logits, weights: device.memory().weights };
  } finally {
    model.close();
    device.close();
  }
}

describe.each([reference, ...nativeDevices.slice(-1)])("$name", ({ open }) => {
  test("layers that share their bytes compute what layers of their own do", async () => {
    const [one, many] = [await run(open(), shared), await run(open(), whole)];
    expect(one.logits).toHaveLength(tokens.length);
    expect(one.logits).toEqual(many.logits);
  });
});

test.skipIf(nativeDevices.length === 0)("they are in the file and in memory once", async () => {
  expect(statSync(whole).size).toBeGreaterThan(3 * statSync(shared).size);
  const open = nativeDevices[0]?.open ?? reference.open;
  const [one, many] = [await run(open(), shared), await run(open(), whole)];
  expect(many.weights).toBeGreaterThan(2.5 * one.weights);
});
