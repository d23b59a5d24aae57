/**
 * The rule itself: logits after a token depend on the tokens before it and on nothing else. Ground truth is each
 * sequence alone, one token at a time, on the TypeScript reference.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRuntime, type Runtime, scoreTokens } from "../../src/engine/mod.ts";
import { type Device, KV_PAGE_TOKENS, type WeightFormat } from "../../src/kernels/mod.ts";
import { type DeviceChoice, nativeDevices, reference, type TinyModel, tinyModel } from "./tiny.ts";

const ROWS = 48;
const BATCH = 8;
const CONTEXT = 320;
/** One sequence crosses the attention chunk of 256 positions; the others are of a few pages or less. */
const LENGTHS = [290, 70, 33, 20, 12, 5, 2, 1];

const formats: readonly WeightFormat[] = ["f16", "i8", "i4"];
const sequences = LENGTHS.map((length, s) =>
  Int32Array.from({ length }, (_, i) => (i * 37 + s * 101 + 5) % 512),
);

let tiny: TinyModel;
/** [format][sequence][position] -> bits of the logits. */
const truth = new Map<WeightFormat, Buffer[][]>();

function runtimeOn(device: Device, format: WeightFormat, degree: number): Promise<Runtime> {
  const options = { format, degree, context: CONTEXT, batch: BATCH, rows: ROWS, outputs: ROWS };
  return createRuntime(device, tiny.model, options);
}

function bitsOf(logits: Float32Array): Buffer {
  return Buffer.from(logits.slice().buffer);
}

async function groundTruth(format: WeightFormat): Promise<Buffer[][]> {
  const runtime = await runtimeOn(reference.open(), format, 1);
  const all: Buffer[][] = [];
  for (const tokens of sequences) {
    const rows: Buffer[] = [];
    await scoreTokens(runtime, tokens, { from: 0, visit: (_, logits) => rows.push(bitsOf(logits)) });
    all.push(rows);
  }
  return all;
}

beforeAll(async () => {
  tiny = tinyModel();
  for (const format of formats) truth.set(format, await groundTruth(format));
});

afterAll(() => tiny.remove());

/** How sequences are interleaved: each step feeds some sequences some tokens; pages lie where `pages` says. */
interface Schedule {
  readonly choices: readonly { readonly sequence: number; readonly count: number }[];
  readonly stepSizes: readonly number[];
  readonly pageSeed: number;
}

const schedules: fc.Arbitrary<Schedule> = fc.record({
  choices: fc.array(fc.record({ sequence: fc.nat(BATCH - 1), count: fc.integer({ min: 1, max: 40 }) }), {
    minLength: 20,
    maxLength: 60,
  }),
  stepSizes: fc.array(fc.integer({ min: 1, max: BATCH }), { minLength: 5, maxLength: 5 }),
  pageSeed: fc.nat(),
});

/** A permutation of all pages, so that neighbours in a sequence are strangers in memory. */
function shuffledPages(count: number, seed: number): Int32Array {
  const pages = Int32Array.from({ length: count }, (_, i) => i);
  let state = seed | 1;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [pages[i], pages[j]] = [pages[j] as number, pages[i] as number];
  }
  return pages;
}

const seen = { batched: 0, chunked: 0, longContext: 0, compared: 0 };

/** Runs a schedule and compares every row's logits with the truth; what is left of each sequence is fed last. */
async function follow(runtime: Runtime, format: WeightFormat, schedule: Schedule): Promise<void> {
  const perSequence = Math.ceil(CONTEXT / KV_PAGE_TOKENS);
  const pages = shuffledPages(perSequence * BATCH, schedule.pageSeed);
  runtime.executable.step.pages.set(pages);
  const fed = sequences.map(() => 0);
  const queue = [...schedule.choices];
  const unfed = (): number[] => LENGTHS.flatMap((length, s) => ((fed[s] as number) < length ? [s] : []));
  for (let turn = 0; ; turn++) {
    // What the schedule leaves over is fed afterwards, all sequences together.
    if (queue.length === 0) queue.push(...unfed().map((sequence) => ({ sequence, count: 30 })));
    if (queue.length === 0) return;
    const parts = queue.splice(0, schedule.stepSizes[turn % schedule.stepSizes.length]);
    await runStep(runtime, format, { parts, fed, perSequence });
  }
}

interface Step {
  readonly parts: readonly { readonly sequence: number; readonly count: number }[];
  readonly fed: number[];
  readonly perSequence: number;
}

async function runStep(
  runtime: Runtime,
  format: WeightFormat,
  { parts, fed, perSequence }: Step,
): Promise<void> {
  const { step } = runtime.executable;
  const rows: { readonly sequence: number; readonly position: number }[] = [];
  for (const { sequence, count } of parts) {
    const tokens = sequences[sequence] as Int32Array;
    for (let i = 0; i < count && rows.length < ROWS; i++) {
      const position = fed[sequence] as number;
      if (position === tokens.length) break;
      step.tokens[rows.length] = tokens[position] as number;
      step.positions[rows.length] = position;
      step.pageStart[rows.length] = sequence * perSequence;
      step.outputs[rows.length] = rows.length;
      rows.push({ sequence, position });
      fed[sequence] = position + 1;
    }
  }
  if (rows.length === 0) return;
  await runtime.executable.execute(rows.length, rows.length);
  countEvents(rows);
  const vocabulary = step.logits.length / step.outputs.length;
  for (const [row, { sequence, position }] of rows.entries()) {
    expect(step.status[row]).toBe(0);
    const bits = bitsOf(step.logits.subarray(row * vocabulary, (row + 1) * vocabulary));
    const expected = truth.get(format)?.[sequence]?.[position];
    if (expected === undefined || Buffer.compare(bits, expected) !== 0) {
      expect.fail(`Logits of sequence ${sequence} differ after position ${position}.`);
    }
    seen.compared++;
  }
}

function countEvents(rows: readonly { readonly sequence: number; readonly position: number }[]): void {
  const distinct = new Set(rows.map(({ sequence }) => sequence)).size;
  if (distinct > 1) seen.batched++;
  if (distinct < rows.length) seen.chunked++;
  if (rows.some(({ position }) => position >= 256)) seen.longContext++;
}

const variants: readonly (DeviceChoice & { readonly degree: number; readonly runs: number })[] = [
  { ...reference, degree: 2, runs: 1 },
  ...nativeDevices.flatMap((device) => [1, 2].map((degree) => ({ ...device, degree, runs: 6 }))),
];

describe.each(formats)("%s logits are the same bits", (format) => {
  test.each(variants)(
    "on $name, split $degree ways, whatever the schedule",
    async ({ open, degree, runs }) => {
      const device = open();
      try {
        const runtime = await runtimeOn(device, format, degree);
        const property = fc.asyncProperty(schedules, (schedule) => follow(runtime, format, schedule));
        await fc.assert(property, { numRuns: runs, seed: 4, endOnFailure: true });
      } finally {
        device.close();
      }
    },
  );
});

test("the schedules did batch, chunk and cross the attention chunk", () => {
  const runs = variants.reduce((sum, variant) => sum + variant.runs, 0) * formats.length;
  expect(seen.batched).toBeGreaterThan(runs * 3);
  expect(seen.chunked).toBeGreaterThan(runs * 5);
  expect(seen.longContext).toBeGreaterThanOrEqual(runs);
  expect(seen.compared).toBe(runs * LENGTHS.reduce((a, b) => a + b));
});

test.skipIf(nativeDevices.length === 0)(
  "native devices took part (skipped where no native core is built)",
  () => {
    expect(variants.length).toBeGreaterThan(2);
  },
);
