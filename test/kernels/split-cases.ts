/** A product cut between shards by segments: partial sums of each, combined. */

import { type BufferSpec, OP } from "../../src/kernels/mod.ts";
import { maximalSubtrees, type Subtree } from "../../src/tensor/mod.ts";
import { f32Buffer, linearCase, randomShape, type Shape } from "./cases.ts";
import type { CaseMatrix, KernelCase } from "./kernel-case.ts";
import type { Random } from "./random.ts";

export interface SplitCase {
  readonly whole: KernelCase;
  readonly split: KernelCase;
}

/** The same product twice: on one device, and cut after the segments of `cuts`. */
export function splitCase(
  random: Random,
  cutsOf: (segments: number) => readonly number[],
  shape: Shape = randomShape(random),
): SplitCase {
  const whole = linearCase(random, shape);
  const { segments, columns, rows, format } = shape;
  const matrix = whole.matrices[0] as CaseMatrix;
  const [step] = whole.steps;
  const [, quantized] = whole.buffers;
  if (step === undefined || quantized?.kind !== "quantized")
    throw new Error("The whole case has other parts.");
  const input = step.inputs[0]?.[1] as Float32Array;
  const edges = [0, ...cutsOf(segments), segments];
  const shards = edges.slice(1).map((end, index) => [edges[index] as number, end] as const);
  const buffers: BufferSpec[] = [f32Buffer(segments * rows), f32Buffer(rows)];
  const tape: (number | string)[] = [];
  const inputs: [number, Float32Array][] = [];
  const present: Subtree[] = [];
  for (const [index, [first, end]] of shards.entries()) {
    const width = (columns / segments) * (end - first);
    const at = buffers.length;
    inputs.push([at, columnsOf(input, columns, [(columns / segments) * first, width])]);
    buffers.push(f32Buffer(width), { ...quantized, width, segments: end - first });
    if (format !== "f16") tape.push(OP.QUANTIZE, at + 1, at);
    tape.push(OP.LINEAR_PARTIAL, 0, format === "f16" ? at : at + 1, `m${index}`);
    present.push(...maximalSubtrees(segments, first, end));
  }
  tape.push(OP.COMBINE, 1, 0, present.length, ...present.flat());
  const matrices = shards.map((segmentRange) => ({ ...matrix, spec: { ...matrix.spec, segmentRange } }));
  const steps = [{ ...step, tape, inputs, reads: [1] }];
  return { whole, split: { name: `${whole.name}, cut at ${edges}`, matrices, vectors: [], buffers, steps } };
}

function columnsOf(
  values: Float32Array,
  columns: number,
  [first, width]: readonly [number, number],
): Float32Array {
  const rows = values.length / columns;
  return Float32Array.from({ length: rows * width }, (_, k) => {
    return values[Math.floor(k / width) * columns + first + (k % width)] as number;
  });
}
