/** Sealing a matrix: from f32 rows to the values each weight format denotes (arithmetic.md, "Weights"). */

import { at } from "../../base/mod.ts";
import { GROUP, SCALE_GROUP, scalesPerSegment } from "../../tensor/mod.ts";
import type { MatrixSpec } from "../contract.ts";
import { weightsError } from "../weights-error.ts";
import { sumLanes } from "./elementwise.ts";
import { magnitudeBits, roundHalfEven } from "./float.ts";
import { rotateWeights } from "./rotate.ts";

/** Magnitudes below this scale to zero; their reciprocal would overflow. */
export const TINY: number = 2 ** -100;

/** A matrix slice as the reference holds it, row-major and unpacked. */
export interface ReferenceMatrix {
  readonly spec: MatrixSpec;
  /** Rows held here. */
  readonly rows: number;
  readonly segmentLength: number;
  /** Inputs held here: segments held times the segment length. */
  readonly width: number;
  /** [rows][width]: f32 values for `f16`, integers (q, or q * m) for `i8` and `i4`. */
  readonly values: Float32Array | Int16Array;
  /** [rows][segments held][scales of a segment]; ones for `f16`. */
  readonly scales: Float32Array;
}

/** Writes what a run of values of a row's segment becomes; returns its scale. The values may be changed. */
type RunSealer = (values: Float32Array, out: Float32Array | Int16Array) => number;

const sealers: Record<MatrixSpec["format"], RunSealer> = { f16: sealHalf, i8: sealI8, i4: sealI4 };

/** Quantizes the rows and segments of `spec` from whole source rows, as `rowAt` hands them out. E_WEIGHTS. */
export function sealMatrix(spec: MatrixSpec, rowAt: (row: number) => Float32Array): ReferenceMatrix {
  const [firstRow, endRow] = spec.rowRange;
  const rows = endRow - firstRow;
  const segmentLength = spec.columns / spec.segments;
  const held = spec.segmentRange[1] - spec.segmentRange[0];
  const width = segmentLength * held;
  const values = spec.format === "f16" ? new Float32Array(rows * width) : new Int16Array(rows * width);
  const scales = new Float32Array(rows * held * scalesPerSegment(spec.format, segmentLength));
  const matrix = { spec, rows, segmentLength, width, values, scales };
  for (let row = 0; row < rows; row++) {
    const source = rowAt(firstRow + row);
    if (!source.every(Number.isFinite) || !sealRow(source, matrix, row))
      throw weightsError(spec, firstRow + row);
  }
  return matrix;
}

/** Seals the segments held of one row; false when a value became infinite or NaN. */
function sealRow(source: Float32Array, matrix: ReferenceMatrix, row: number): boolean {
  const { spec, segmentLength, width } = matrix;
  const [first, end] = spec.segmentRange;
  for (let segment = first; segment < end; segment++) {
    const values = source.slice(segment * segmentLength, (segment + 1) * segmentLength);
    if (spec.format !== "f16") rotateWeights(values);
    const target = row * width + (segment - first) * segmentLength;
    const out = matrix.values.subarray(target, target + segmentLength);
    if (spec.format !== "f16" && !values.every(Number.isFinite)) return false;
    const count = scalesPerSegment(spec.format, segmentLength);
    const place = (row * (end - first) + segment - first) * count;
    const run = count === 1 ? segmentLength : SCALE_GROUP;
    for (let g = 0; g < count; g++) {
      const [from, to] = [g * run, (g + 1) * run];
      matrix.scales[place + g] = sealers[spec.format](values.subarray(from, to), out.subarray(from, to));
    }
    if (spec.format === "f16" && !out.every(Number.isFinite)) return false;
  }
  return true;
}

function sealHalf(values: Float32Array, out: Float32Array | Int16Array): number {
  for (let k = 0; k < values.length; k++) out[k] = Math.f16round(values[k] as number);
  return 1;
}

/** The element of largest magnitude, the first of equals. */
function extreme(values: Float32Array): number {
  let found = 0;
  let largest = 0;
  for (let k = 0; k < values.length; k++) {
    const magnitude = magnitudeBits(values[k] as number);
    if (magnitude <= largest) continue;
    largest = magnitude;
    found = values[k] as number;
  }
  return found;
}

function sealI8(values: Float32Array, out: Float32Array | Int16Array): number {
  const largest = Math.abs(extreme(values));
  if (largest < TINY) return 0;
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  for (let k = 0; k < values.length; k++) {
    out[k] = roundHalfEven(Math.fround((values[k] as number) * reciprocal));
  }
  return scale;
}

/** Factors of a group's plain step that are tried: a few values cut off at the edge can serve the others better. */
const I4_FACTORS: readonly number[] = [32, 31, 30, 29, 28, 27, 26, 33, 34, 35, 36].map((n) => n / 32);

/** What a segment's largest step is multiplied by for its scale: the largest factor, so that it is a choice for all groups. */
const I4_HEADROOM: number = 9 / 8;

function sealI4(values: Float32Array, out: Float32Array | Int16Array): number {
  const groups = Array.from({ length: Math.ceil(values.length / GROUP) }, (_, g) =>
    values.subarray(g * GROUP, (g + 1) * GROUP),
  );
  const steps = groups.map((group) => Math.fround(extreme(group) / -8));
  const largest = steps.reduce((most, step) => Math.max(most, Math.abs(step)), 0);
  if (largest < TINY) return 0;
  const scale = Math.fround(Math.fround(largest * I4_HEADROOM) / 127);
  const reciprocal = Math.fround(1 / scale);
  for (const [g, group] of groups.entries()) {
    out.set(sealGroup(group, { step: at(steps, g), scale, reciprocal }), g * GROUP);
  }
  return scale;
}

interface GroupScale {
  /** The group's extreme divided by -8. */
  readonly step: number;
  readonly scale: number;
  readonly reciprocal: number;
}

/** q * m of a group, with the multiplier of least error among those tried. */
function sealGroup(group: Float32Array, { step, scale, reciprocal }: GroupScale): Int16Array {
  let best = Number.POSITIVE_INFINITY;
  let sealed = new Int16Array(group.length);
  for (const factor of I4_FACTORS) {
    const wanted = roundHalfEven(Math.fround(Math.fround(step * factor) * reciprocal));
    const multiplier = Math.min(127, Math.max(-127, wanted));
    const q = quantizeGroup(group, Math.fround(multiplier * scale));
    const error = groupError(group, q, Math.fround(multiplier * scale));
    if (error >= best) continue;
    best = error;
    sealed = q.map((value) => value * multiplier);
  }
  return sealed;
}

function quantizeGroup(group: Float32Array, step: number): Int16Array {
  const q = new Int16Array(group.length);
  if (step === 0) return q;
  const inverse = Math.fround(1 / step);
  for (let k = 0; k < group.length; k++) {
    const rounded = roundHalfEven(Math.fround((group[k] as number) * inverse));
    q[k] = Math.min(7, Math.max(-8, rounded));
  }
  return q;
}

const lanes = new Float32Array(16);

function groupError(group: Float32Array, q: Int16Array, step: number): number {
  lanes.fill(0);
  for (let k = 0; k < group.length; k++) {
    const error = Math.fround((group[k] as number) - Math.fround((q[k] as number) * step));
    lanes[k & 15] = (lanes[k & 15] as number) + Math.fround(error * error);
  }
  return sumLanes(lanes);
}
