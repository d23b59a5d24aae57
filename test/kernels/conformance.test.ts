/**
 * Every device gives the reference's bits: random small programs, one operation at a time, on every instruction set
 * with one and two threads. The committed vectors in golden/ hold the reference itself.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ATTENTION_CHUNK, type Device, ROW_STATUS } from "../../src/kernels/mod.ts";
import { GROUP, rotationBlocks } from "../../src/tensor/mod.ts";
import { adapterCase } from "./adapter-cases.ts";
import { attentionCase } from "./attention-cases.ts";
import {
  elementwiseCase,
  embedCase,
  linearCase,
  normCase,
  quantizeCase,
  randomShape,
  ropeCase,
} from "./cases.ts";
import { nativeDevices, referenceDevice, threadsMost } from "./devices.ts";
import { difference, type KernelCase, type Outcome, runCase } from "./kernel-case.ts";
import { layerCase } from "./layer-cases.ts";
import { Random } from "./random.ts";
import { splitCase } from "./split-cases.ts";

const SEED = 20_250_101;
const ROW_BLOCK = 16;

/** What the cases claim to exercise; a suite that no longer does must fail. */
const events = {
  longBlocks: 0,
  shortGroups: 0,
  partialBlocks: 0,
  notFiniteRows: 0,
  kvRangeRows: 0,
  chunkedAttention: 0,
  splitAttention: 0,
  consecutiveRows: 0,
  fullPrecisionCaches: 0,
  byteCaches: 0,
  groupedQueries: 0,
  splits: 0,
  single: 0,
  adaptedRows: 0,
  plainRows: 0,
};

const without = nativeDevices.length === 0 ? " (skipped: no native core was built)" : "";

describe(`devices against the reference, seed ${SEED}${without}`, () => {
  let devices: { name: string; device: Device }[] = [];

  beforeAll(() => {
    devices = nativeDevices.map(({ name, open }) => ({ name, device: open() }));
  });
  afterAll(() => {
    for (const { device } of devices) device.close();
  });

  /** The reference's outcome, after every device gave the same. */
  async function agree(kernelCase: KernelCase): Promise<Outcome> {
    const expected = await runCase(referenceDevice.open(), kernelCase);
    for (const { name, device } of devices) {
      const actual = await runCase(device, kernelCase);
      expect(difference(expected, actual), `${kernelCase.name} on ${name}`).toBeUndefined();
    }
    countEvents(kernelCase, expected);
    return expected;
  }

  const runs = (make: (random: Random) => KernelCase, numRuns: number) => () =>
    fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        await agree(make(new Random(seed)));
      }),
      { seed: SEED, numRuns },
    );
  const nativeTest = test.skipIf(nativeDevices.length === 0);

  nativeTest(
    "LINEAR in f16",
    runs((random) => linearCase(random, randomShape(random, "f16")), 120),
  );
  nativeTest(
    "LINEAR in i8",
    runs((random) => linearCase(random, randomShape(random, "i8")), 240),
  );
  nativeTest(
    "LINEAR in i4",
    runs((random) => linearCase(random, randomShape(random, "i4")), 240),
  );
  nativeTest("LINEAR over long segments", async () => {
    const random = new Random(SEED);
    await agree(linearCase(random, { format: "i8", rows: 17, columns: 2 * 4100, segments: 2 }, { rows: 2 }));
    await agree(linearCase(random, { format: "i4", rows: 17, columns: 8_288, segments: 1 }, { rows: 2 }));
    await agree(linearCase(random, { format: "f16", rows: 3, columns: 2050, segments: 1 }, { rows: 2 }));
    await agree(linearCase(random, { format: "i8", rows: 100, columns: 192, segments: 3 }, { rows: 33 }));
  });
  nativeTest("LINEAR_PARTIAL and COMBINE, every cut in two", async () => {
    for (let seed = 0; seed < 12; seed++) {
      for (let cut = 1; cut < 8; cut++) {
        await agreeOnSplit(seed, (segments) => (cut < segments ? [cut] : []));
      }
    }
  });
  nativeTest("LINEAR_PARTIAL and COMBINE, every segment by itself", async () => {
    for (let seed = 100; seed < 112; seed++) {
      await agreeOnSplit(seed, (segments) => Array.from({ length: segments - 1 }, (_, index) => index + 1));
    }
  });
  nativeTest(
    "QUANTIZE",
    runs((random) => quantizeCase(random), 150),
  );
  nativeTest(
    "EMBED",
    runs((random) => embedCase(random), 150),
  );
  nativeTest("RMS_NORM and GATHER", runs(normCase, 200));
  nativeTest("ROPE", runs(ropeCase, 150));
  nativeTest("SILU_MUL and ADD", runs(elementwiseCase, 200));
  nativeTest("ADAPT_DOWN and ADAPT_UP", runs(adapterCase, 200));
  nativeTest(
    "KV_WRITE and ATTENTION",
    runs((random) => attentionCase(random), 150),
  );

  nativeTest("ATTENTION far into a sequence, by more threads than heads", async () => {
    const shape = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 4, style: "gentle" } as const;
    for (const format of ["f16", "f32", "i8"] as const) {
      await agree(attentionCase(new Random(SEED), { ...shape, format, positions: 32_768 }));
    }
  });

  nativeTest(
    "whole layers, every operation after another",
    runs((random) => layerCase(random), 60),
  );

  nativeTest("the cases held what they are meant to", () => {
    expect(events.longBlocks).toBeGreaterThan(50);
    expect(events.shortGroups).toBeGreaterThan(400);
    expect(events.partialBlocks).toBeGreaterThan(500);
    expect(events.notFiniteRows).toBeGreaterThan(150);
    expect(events.kvRangeRows).toBeGreaterThan(1000);
    expect(events.chunkedAttention).toBeGreaterThan(25);
    expect(events.splitAttention).toBeGreaterThan(5);
    expect(events.consecutiveRows).toBeGreaterThan(200);
    expect(events.fullPrecisionCaches).toBeGreaterThan(30);
    expect(events.byteCaches).toBeGreaterThan(30);
    expect(events.groupedQueries).toBeGreaterThan(70);
    expect(events.splits).toBeGreaterThan(40);
    expect(events.single).toBeGreaterThan(200);
    expect(events.adaptedRows).toBeGreaterThan(200);
    expect(events.plainRows).toBeGreaterThan(100);
  });

  async function agreeOnSplit(seed: number, cuts: (segments: number) => readonly number[]): Promise<void> {
    const { whole, split } = splitCase(new Random(seed), cuts);
    if (split.matrices.length < 2) return;
    const [left, right] = [await agree(whole), await agree(split)];
    expect(difference({ ...left, status: [] }, { ...right, status: [] }), split.name).toBeUndefined();
    events.splits++;
  }
});

function countEvents(kernelCase: KernelCase, outcome: Outcome): void {
  for (const { spec } of kernelCase.matrices) {
    if (spec.rows % ROW_BLOCK !== 0) events.partialBlocks++;
    const length = spec.columns / spec.segments;
    if (length % GROUP !== 0) events.shortGroups++;
    if (spec.format !== "f16" && rotationBlocks(length).some(({ power }) => power > 7)) events.longBlocks++;
  }
  for (const status of outcome.status.flat()) {
    if (status & ROW_STATUS.NOT_FINITE) events.notFiniteRows++;
    if (status & ROW_STATUS.KV_RANGE) events.kvRangeRows++;
  }
  for (const step of kernelCase.steps) {
    if (step.rows === 1) events.single++;
    for (const adapter of step.adapters ?? []) events[adapter === 0 ? "plainRows" : "adaptedRows"]++;
  }
  const positions = kernelCase.steps.at(-1)?.positions ?? [];
  if (kernelCase.kv === undefined) return;
  if (kernelCase.kv.format === "f32") events.fullPrecisionCaches++;
  if (kernelCase.kv.format === "i8") events.byteCaches++;
  if (positions.some((position) => position >= ATTENTION_CHUNK)) events.chunkedAttention++;
  const { heads } = kernelCase.kv;
  if (
    positions.length * heads < threadsMost &&
    positions.some((position) => position >= 2 * ATTENTION_CHUNK)
  ) {
    events.splitAttention++;
  }
  for (const [row, position] of positions.entries()) {
    if (position - 1 === positions[row - 1]) events.consecutiveRows++;
  }
  if ((kernelCase.buffers[2]?.width ?? 0) > kernelCase.kv.heads * kernelCase.kv.headDim)
    events.groupedQueries++;
}
