/** Matrix products: exact integer sums per segment, the balanced tree across them (arithmetic.md, "Linear layers"). */

import { powerOfTwo } from "../../base/mod.ts";
import { GROUP, maximalSubtrees, type Subtree, treeMiddle } from "../../tensor/mod.ts";
import { fma } from "./float.ts";
import type { QuantizedBuffer } from "./quantize.ts";
import type { ReferenceMatrix } from "./weights.ts";

/** An input row of a product: the f32 buffer and its row, or the quantized buffer and its row. */
export type LinearInput =
  | { readonly values: Float32Array; readonly row: number }
  | { readonly quantized: QuantizedBuffer; readonly row: number };

/** All outputs of one input row; the matrix holds every segment. */
export function linearRow(matrix: ReferenceMatrix, input: LinearInput, out: Float32Array): void {
  const { segments } = matrix.spec;
  for (let n = 0; n < out.length; n++) {
    const root = treeSum((segment) => leaf(matrix, input, { n, segment }), 0, segments);
    out[n] = finish(matrix, root, n);
  }
}

/** Roots of the maximal subtrees of the held segments: out is [segments of the whole][rows], slot = first leaf. */
export function linearPartialRow(matrix: ReferenceMatrix, input: LinearInput, out: Float32Array): void {
  const { segments, segmentRange } = matrix.spec;
  const rows = matrix.scales.length;
  const held = segmentRange[0];
  for (const [first, end] of maximalSubtrees(segments, ...segmentRange)) {
    for (let n = 0; n < rows; n++) {
      out[first * rows + n] = treeSum((s) => leaf(matrix, input, { n, segment: s - held }), first, end);
    }
  }
}

/** Combines subtree roots, laid out as linearPartialRow writes them, into the outputs. */
export function combineRow(
  matrix: ReferenceMatrix,
  partials: Float32Array,
  { present, out }: { readonly present: readonly Subtree[]; readonly out: Float32Array },
): void {
  const rows = out.length;
  const ends = new Map(present);
  for (let n = 0; n < rows; n++) {
    const sum = (first: number, end: number): number => {
      if (ends.get(first) === end) return partials[first * rows + n] as number;
      const middle = treeMiddle(first, end);
      return Math.fround(sum(first, middle) + sum(middle, end));
    };
    out[n] = finish(matrix, sum(0, matrix.spec.segments), n);
  }
}

function finish(matrix: ReferenceMatrix, root: number, n: number): number {
  return matrix.spec.format === "f16" ? root : Math.fround(root * (matrix.scales[n] as number));
}

function treeSum(leafAt: (index: number) => number, first: number, end: number): number {
  if (end - first === 1) return leafAt(first);
  const middle = treeMiddle(first, end);
  return Math.fround(treeSum(leafAt, first, middle) + treeSum(leafAt, middle, end));
}

interface LeafPlace {
  readonly n: number;
  /** Index among the segments held. */
  readonly segment: number;
}

function leaf(matrix: ReferenceMatrix, input: LinearInput, place: LeafPlace): number {
  if ("quantized" in input) return integerLeaf(matrix, input.quantized, { ...place, row: input.row });
  const length = matrix.spec.columns / matrix.spec.segments;
  const weight = place.n * matrix.width + place.segment * length;
  const x = input.row * matrix.width + place.segment * length;
  let sum = 0;
  for (let k = 0; k < length; k++) {
    sum = fma(matrix.values[weight + k] as number, input.values[x + k] as number, sum);
  }
  return sum;
}

function integerLeaf(
  matrix: ReferenceMatrix,
  buffer: QuantizedBuffer,
  { n, segment, row }: LeafPlace & { readonly row: number },
): number {
  const { segmentLength, groupsPerSegment, q, lefts } = buffer;
  const weight = n * matrix.width + segment * segmentLength;
  const x = row * matrix.width + segment * segmentLength;
  const place = row * buffer.spec.segments + segment;
  let sum = 0;
  for (let group = 0; group < groupsPerSegment; group++) {
    const end = Math.min((group + 1) * GROUP, segmentLength);
    let dot = 0;
    for (let k = group * GROUP; k < end; k++) {
      dot += (matrix.values[weight + k] as number) * (q[x + k] as number);
    }
    sum += dot * powerOfTwo(lefts[place * groupsPerSegment + group] as number);
  }
  return Math.fround(Math.fround(sum) * (buffer.scales[place] as number));
}

/** Row `token` of an embedding matrix as f32. */
export function embedRow(matrix: ReferenceMatrix, token: number, out: Float32Array): void {
  const scale = matrix.scales[token] as number;
  for (let k = 0; k < out.length; k++) {
    out[k] = (matrix.values[token * matrix.width + k] as number) * scale;
  }
}
