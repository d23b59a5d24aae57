/** A kernel test as data: matrices, buffers and short tapes that run alike on every device. */

import {
  type BufferSpec,
  type Device,
  type KvShape,
  type MatrixSpec,
  OP,
  type Program,
} from "../../src/kernels/mod.ts";
import type { SourceType } from "../../src/tensor/mod.ts";

export interface CaseMatrix {
  readonly spec: MatrixSpec;
  readonly type: SourceType;
  readonly bytes: Uint8Array;
}

/** One program and one step of it. */
export interface CaseStep {
  /** Without its end; "m0" stands for the id of matrix 0, "v0" for that of vector 0. */
  readonly tape: readonly (number | string)[];
  readonly rows: number;
  readonly outputs: number;
  readonly tokens?: readonly number[];
  readonly positions?: readonly number[];
  readonly pageStart?: readonly number[];
  readonly pages?: readonly number[];
  /** Counted from 1; 0: none. */
  readonly adapters?: readonly number[];
  /** Row of each output. */
  readonly outputRows?: readonly number[];
  /** Buffers to fill before, [buffer, values]. */
  readonly inputs: readonly (readonly [number, Float32Array])[];
  /** Buffers to read after. */
  readonly reads: readonly number[];
}

export interface KernelCase {
  readonly name: string;
  readonly matrices: readonly CaseMatrix[];
  readonly vectors: readonly Float32Array[];
  readonly kv?: KvShape;
  readonly buffers: readonly BufferSpec[];
  readonly steps: readonly CaseStep[];
}

/** What the buffers read and the row statuses held after each step. */
export interface Outcome {
  readonly values: readonly Float32Array[];
  readonly status: readonly (readonly number[])[];
}

/** Every program needs a buffer for logits; cases that have none of their own get this one. */
const sink: BufferSpec = { kind: "f32", name: "sink", domain: "outputs", width: 1 };

export async function runCase(device: Device, test: KernelCase): Promise<Outcome> {
  const ids = new Map<string, number>();
  for (const [index, { spec, type, bytes }] of test.matrices.entries()) {
    ids.set(`m${index}`, await device.loadMatrix(spec, { type, data: bytes }));
  }
  for (const [index, vector] of test.vectors.entries()) ids.set(`v${index}`, device.loadVector(vector));
  if (test.kv !== undefined) device.allocateKv(test.kv);
  const values: Float32Array[] = [];
  const status: number[][] = [];
  for (const step of test.steps) {
    const tape = step.tape.map((word) => (typeof word === "number" ? word : (ids.get(word) as number)));
    const outcome = await runStep(device, test.buffers, { ...step, tape });
    values.push(...outcome.values);
    status.push(...outcome.status.map((list) => [...list]));
  }
  return { values, status };
}

async function runStep(
  device: Device,
  buffers: readonly BufferSpec[],
  step: CaseStep & { readonly tape: readonly number[] },
): Promise<Outcome> {
  const program: Program = {
    buffers: [...buffers, sink],
    tape: Int32Array.of(...step.tape, OP.END),
    logits: buffers.length,
  };
  const executable = device.prepare(program, {
    rows: step.rows,
    outputs: Math.max(1, step.outputs),
    pageEntries: step.pages?.length ?? 0,
  });
  const block = executable.step;
  block.tokens.set(step.tokens ?? []);
  block.positions.set(step.positions ?? []);
  block.pageStart.set(step.pageStart ?? []);
  block.pages.set(step.pages ?? []);
  block.adapters.set(step.adapters ?? []);
  block.outputs.set(step.outputRows ?? []);
  for (const [buffer, values] of step.inputs) executable.writeBuffer(buffer, values);
  await executable.execute(step.rows, step.outputs);
  const rowsOf = (buffer: number): number =>
    program.buffers[buffer]?.domain === "outputs" ? step.outputs : step.rows;
  const values = step.reads.map((buffer) => executable.readBuffer(buffer, rowsOf(buffer)));
  return { values, status: [[...block.status.subarray(0, step.rows)]] };
}

/** The first difference between two outcomes, bit by bit (any NaN equals any NaN), or undefined. */
export function difference(expected: Outcome, actual: Outcome): string | undefined {
  if (JSON.stringify(expected.status) !== JSON.stringify(actual.status)) {
    return `status ${JSON.stringify(actual.status)} instead of ${JSON.stringify(expected.status)}`;
  }
  if (expected.values.length !== actual.values.length) return "other buffers were read";
  for (const [index, want] of expected.values.entries()) {
    const have = actual.values[index] as Float32Array;
    if (want.length !== have.length)
      return `buffer read ${index} has ${have.length} values, not ${want.length}`;
    const at = want.findIndex((value, k) => !Object.is(value, have[k]));
    if (at >= 0) return `buffer read ${index}, value ${at}: ${have[at]} instead of ${want[at]}`;
  }
  return undefined;
}
