/**
 * I/O: how much a shared step saves. Times one step of N sequences against N steps of one, interleaved in one run, and
 * prints medians and the ratio as JSON.
 *
 *   npm run bench:batch -- --model FILE [--format i8] [--sequences 8] [--threads N] [--rounds 25]
 */

import { parseArgs } from "node:util";
import { createRuntime, openDevice, type Runtime } from "../src/engine/mod.ts";
import { KV_PAGE_TOKENS, type WeightFormat } from "../src/kernels/mod.ts";
import { openModel } from "../src/model/mod.ts";

const CONTEXT = 256;
/** Tokens in the cache before measuring. */
const FILLED = 64;

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    format: { type: "string", default: "i8" },
    sequences: { type: "string", default: "8" },
    threads: { type: "string" },
    rounds: { type: "string", default: "25" },
  },
});
if (values.model === undefined) throw new Error("Give a model with --model FILE.");
const sequences = Number(values.sequences);
const rounds = Number(values.rounds);
const format = values.format as WeightFormat;

/** Milliseconds of one step that feeds one token to each of `count` sequences from `first` on. */
async function decodeStep(
  runtime: Runtime,
  place: { first: number; count: number; position: number },
): Promise<number> {
  const { step } = runtime.executable;
  for (let row = 0; row < place.count; row++) {
    step.tokens[row] = (row * 31 + place.position * 7) % 500;
    step.positions[row] = place.position;
    step.pageStart[row] = ((place.first + row) * CONTEXT) / KV_PAGE_TOKENS;
    step.outputs[row] = row;
  }
  const start = performance.now();
  await runtime.executable.execute(place.count, place.count);
  return performance.now() - start;
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number;
}

const model = openModel(values.model);
const threads = values.threads === undefined ? undefined : Number(values.threads);
const { device } = await openDevice({ device: "auto", threads });
const runtime = await createRuntime(device, model, {
  format,
  context: CONTEXT,
  batch: sequences,
  rows: sequences,
});
runtime.executable.step.pages.forEach((_, index, pages) => {
  pages[index] = index;
});
for (let position = 0; position < FILLED; position++) {
  await decodeStep(runtime, { first: 0, count: sequences, position });
}
const together: number[] = [];
const apart: number[] = [];
for (let round = 0; round < rounds; round++) {
  const position = FILLED + round;
  let sum = 0;
  for (let first = 0; first < sequences; first++)
    sum += await decodeStep(runtime, { first, count: 1, position });
  apart.push(sum);
  together.push(await decodeStep(runtime, { first: 0, count: sequences, position }));
}
const result = {
  model: model.description.name,
  device: device.name,
  threads: device.threads,
  format,
  sequences,
  rounds,
  stepTogetherMs: median(together),
  stepsApartMs: median(apart),
  ratio: median(apart) / median(together),
};
console.log(JSON.stringify(result, null, 2));
device.close();
model.close();
