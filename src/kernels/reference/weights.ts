/** Sealing a matrix: from f32 rows to the values each weight format denotes (arithmetic.md, "Weights"). */

import { at } from "../../base/mod.ts";
import { GROUP } from "../../tensor/mod.ts";
import type { MatrixSpec } from "../contract.ts";
import { weightsError } from "../weights-error.ts";
import { sumLanes } from "./elementwise.ts";
import { magnitudeBits, roundHalfEven } from "./float.ts";

/** Magnitudes below this scale to zero; their reciprocal would overflow. */
export const TINY: number = 2 ** -100;

/** A matrix slice as the reference holds it, row-major and unpacked. */
export interface ReferenceMatrix {
  readonly spec: MatrixSpec;
  /** Inputs held here: segments held times the segment length. */
  readonly width: number;
  /** [rows held][width]: f32 values for `f16`, integers (q, or q * m) for `i8` and `i4`. */
  readonly values: Float32Array | Int16Array;
  /** One per row held; ones for `f16`. */
  readonly scales: Float32Array;
}

/** Writes one row's slice; returns the row's scale. */
type RowSealer = (row: Float32Array, spec: MatrixSpec, out: Float32Array | Int16Array) => number;

const sealers: Record<MatrixSpec["format"], RowSealer> = { f16: sealHalf, i8: sealI8, i4: sealI4 };

/** Quantizes the rows and segments of `spec` from whole source rows, as `rowAt` hands them out. */
export function sealMatrix(spec: MatrixSpec, rowAt: (row: number) => Float32Array): ReferenceMatrix {
  const [firstRow, endRow] = spec.rowRange;
  const rows = endRow - firstRow;
  const width = (spec.columns / spec.segments) * (spec.segmentRange[1] - spec.segmentRange[0]);
  const values = spec.format === "f16" ? new Float32Array(rows * width) : new Int16Array(rows * width);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const source = rowAt(firstRow + row);
    refuseNotFinite(source, spec, firstRow + row);
    const out = values.subarray(row * width, (row + 1) * width);
    scales[row] = sealers[spec.format](source, spec, out);
    if (spec.format === "f16") refuseNotFinite(out as Float32Array, spec, firstRow + row);
  }
  return { spec, width, values, scales };
}

function refuseNotFinite(values: Float32Array, spec: MatrixSpec, row: number): void {
  for (let k = 0; k < values.length; k++) {
    if (Number.isFinite(values[k])) continue;
    throw weightsError(spec, row);
  }
}

/** The columns [first, end) that a slice holds. */
function sliceColumns(spec: MatrixSpec): readonly [number, number] {
  const length = spec.columns / spec.segments;
  return [spec.segmentRange[0] * length, spec.segmentRange[1] * length];
}

function sealHalf(row: Float32Array, spec: MatrixSpec, out: Float32Array | Int16Array): number {
  const [first, end] = sliceColumns(spec);
  for (let k = first; k < end; k++) out[k - first] = Math.f16round(row[k] as number);
  return 1;
}

/** The element of largest magnitude in [first, end), the first of equals. */
function extreme(row: Float32Array, first: number, end: number): number {
  let found = 0;
  let largest = 0;
  for (let k = first; k < end; k++) {
    const magnitude = magnitudeBits(row[k] as number);
    if (magnitude <= largest) continue;
    largest = magnitude;
    found = row[k] as number;
  }
  return found;
}

function sealI8(row: Float32Array, spec: MatrixSpec, out: Float32Array | Int16Array): number {
  const largest = Math.abs(extreme(row, 0, row.length));
  if (largest < TINY) return 0;
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  const [first, end] = sliceColumns(spec);
  for (let k = first; k < end; k++) {
    out[k - first] = roundHalfEven(Math.fround((row[k] as number) * reciprocal));
  }
  return scale;
}

/** Factors of a group's plain step that are tried: a few values cut off at the edge can serve the others better. */
const I4_FACTORS: readonly number[] = [1, 15 / 16, 7 / 8, 17 / 16, 9 / 8];

function sealI4(row: Float32Array, spec: MatrixSpec, out: Float32Array | Int16Array): number {
  const length = spec.columns / spec.segments;
  const groups = groupsOf(row, spec);
  const steps = groups.map((group) => Math.fround(extreme(group, 0, group.length) / -8));
  const largest = steps.reduce((most, step) => Math.max(most, Math.abs(step)), 0);
  if (largest < TINY) return 0;
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  const groupsPerSegment = Math.ceil(length / GROUP);
  for (let segment = spec.segmentRange[0]; segment < spec.segmentRange[1]; segment++) {
    for (let g = 0; g < groupsPerSegment; g++) {
      const index = segment * groupsPerSegment + g;
      const sealed = sealGroup(at(groups, index), { step: at(steps, index), scale, reciprocal });
      out.set(sealed, (segment - spec.segmentRange[0]) * length + g * GROUP);
    }
  }
  return scale;
}

/** The groups of all segments of a row, in order. */
function groupsOf(row: Float32Array, spec: MatrixSpec): Float32Array[] {
  const length = spec.columns / spec.segments;
  const groups: Float32Array[] = [];
  for (let end = length; end <= row.length; end += length) {
    for (let first = end - length; first < end; first += GROUP) {
      groups.push(row.subarray(first, Math.min(first + GROUP, end)));
    }
  }
  return groups;
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
