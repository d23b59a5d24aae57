/** Matrix products: exact integer sums per segment, the balanced tree across them (arithmetic.md, "Linear layers"). */

import {
  maximalSubtrees,
  SCALE_GROUP,
  type Subtree,
  scalesPerSegment,
  treeMiddle,
} from "../../tensor/mod.ts";
import { fma } from "./float.ts";
import type { QuantizedBuffer } from "./quantize.ts";
import { unrotateWeights } from "./rotate.ts";
import type { ReferenceMatrix } from "./weights.ts";

/** An input row of a product: the f32 buffer and its row, or the quantized buffer and its row. */
export type LinearInput = { readonly values: Float32Array; readonly row: number } | QuantizedInput;

interface QuantizedInput {
  readonly quantized: QuantizedBuffer;
  readonly row: number;
}

/** All outputs of one input row; the matrix holds every segment. */
export function linearRow(matrix: ReferenceMatrix, input: LinearInput, out: Float32Array): void {
  const { segments } = matrix.spec;
  for (let n = 0; n < out.length; n++) {
    out[n] = treeSum((segment) => leaf(matrix, input, { n, segment }), 0, segments);
  }
}

/** Roots of the maximal subtrees of the held segments: out is [segments of the whole][rows], slot = first leaf. */
export function linearPartialRow(matrix: ReferenceMatrix, input: LinearInput, out: Float32Array): void {
  const { rows } = matrix;
  const { segments, segmentRange } = matrix.spec;
  const held = segmentRange[0];
  for (const [first, end] of maximalSubtrees(segments, ...segmentRange)) {
    for (let n = 0; n < rows; n++) {
      out[first * rows + n] = treeSum((s) => leaf(matrix, input, { n, segment: s - held }), first, end);
    }
  }
}

/** Combines subtree roots, laid out as linearPartialRow writes them, into the outputs. */
export function combineRow(partials: Float32Array, present: readonly Subtree[], out: Float32Array): void {
  const rows = out.length;
  const ends = new Map(present);
  for (let n = 0; n < rows; n++) {
    const sum = (first: number, end: number): number => {
      if (ends.get(first) === end) return partials[first * rows + n] as number;
      const middle = treeMiddle(first, end);
      return Math.fround(sum(first, middle) + sum(middle, end));
    };
    out[n] = sum(0, partials.length / rows);
  }
}

/** The balanced tree over leaves [first, end). */
export function treeSum(leafAt: (index: number) => number, first: number, end: number): number {
  if (end - first === 1) return leafAt(first);
  const middle = treeMiddle(first, end);
  return Math.fround(treeSum(leafAt, first, middle) + treeSum(leafAt, middle, end));
}

interface LeafPlace {
  readonly n: number;
  /** Index among the segments held. */
  readonly segment: number;
}

function leaf(matrix: ReferenceMatrix, input: LinearInput, { n, segment }: LeafPlace): number {
  const { segmentLength, width } = matrix;
  const weight = n * width + segment * segmentLength;
  const x = input.row * width + segment * segmentLength;
  if ("quantized" in input) return integerLeaf(matrix, input, { n, segment });
  let sum = 0;
  for (let k = 0; k < segmentLength; k++) {
    sum = fma(matrix.values[weight + k] as number, input.values[x + k] as number, sum);
  }
  return sum;
}

/** The chain over a segment's groups; `i4` has a single scale, so that its leaf is the product alone. */
function integerLeaf(matrix: ReferenceMatrix, input: QuantizedInput, { n, segment }: LeafPlace): number {
  const { segmentLength, width, spec } = matrix;
  const { q, scales } = input.quantized;
  const count = scalesPerSegment(spec.format, segmentLength);
  const run = count === 1 ? segmentLength : SCALE_GROUP;
  const held = width / segmentLength;
  const weights = matrix.values.subarray(n * width + segment * segmentLength);
  const x = q.subarray(input.row * width + segment * segmentLength);
  let sum = 0;
  for (let g = 0; g < count; g++) {
    let exact = 0;
    for (let k = g * run; k < Math.min((g + 1) * run, segmentLength); k++) {
      exact += (weights[k] as number) * (x[k] as number);
    }
    const scaled = Math.fround(
      Math.fround(exact) * (scales[(input.row * held + segment) * count + g] as number),
    );
    const weightScale = matrix.scales[(n * held + segment) * count + g] as number;
    sum = spec.format === "i8" ? fma(scaled, weightScale, sum) : Math.fround(scaled * weightScale);
  }
  return sum;
}

/** Row `token` of an embedding matrix as f32. */
export function embedRow(matrix: ReferenceMatrix, token: number, out: Float32Array): void {
  const { segmentLength, width, spec } = matrix;
  const count = scalesPerSegment(spec.format, segmentLength);
  for (let segment = 0; segment < spec.segments; segment++) {
    const values = out.subarray(segment * segmentLength, (segment + 1) * segmentLength);
    const first = token * width + segment * segmentLength;
    const scales = (token * spec.segments + segment) * count;
    for (let k = 0; k < segmentLength; k++) {
      const scale = matrix.scales[scales + (count === 1 ? 0 : Math.floor(k / SCALE_GROUP))] as number;
      values[k] = (matrix.values[first + k] as number) * scale;
    }
    if (spec.format !== "f16") unrotateWeights(values);
  }
}
