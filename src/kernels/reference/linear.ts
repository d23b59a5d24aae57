/** Matrix products: exact integer sums per segment, the balanced tree across them (arithmetic.md, "Linear layers"). */

import { maximalSubtrees, type Subtree, treeMiddle } from "../../tensor/mod.ts";
import { fma } from "./float.ts";
import type { QuantizedBuffer } from "./quantize.ts";
import { unrotateWeights } from "./rotate.ts";
import type { ReferenceMatrix } from "./weights.ts";

/** An input row of a product: the f32 buffer and its row, or the quantized buffer and its row. */
export type LinearInput =
  | { readonly values: Float32Array; readonly row: number }
  | { readonly quantized: QuantizedBuffer; readonly row: number };

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

function leaf(matrix: ReferenceMatrix, input: LinearInput, { n, segment }: LeafPlace): number {
  const { segmentLength, width } = matrix;
  const weight = n * width + segment * segmentLength;
  const x = input.row * width + segment * segmentLength;
  if ("quantized" in input) {
    const { q, scales, spec } = input.quantized;
    let exact = 0;
    for (let k = 0; k < segmentLength; k++) {
      exact += (matrix.values[weight + k] as number) * (q[x + k] as number);
    }
    const inputScale = scales[input.row * spec.segments + segment] as number;
    const weightScale = matrix.scales[n * spec.segments + segment] as number;
    return Math.fround(Math.fround(Math.fround(exact) * inputScale) * weightScale);
  }
  let sum = 0;
  for (let k = 0; k < segmentLength; k++) {
    sum = fma(matrix.values[weight + k] as number, input.values[x + k] as number, sum);
  }
  return sum;
}

/** Row `token` of an embedding matrix as f32. */
export function embedRow(matrix: ReferenceMatrix, token: number, out: Float32Array): void {
  const { segmentLength, width, spec } = matrix;
  for (let segment = 0; segment < spec.segments; segment++) {
    const scale = matrix.scales[token * spec.segments + segment] as number;
    const values = out.subarray(segment * segmentLength, (segment + 1) * segmentLength);
    const first = token * width + segment * segmentLength;
    for (let k = 0; k < segmentLength; k++) values[k] = (matrix.values[first + k] as number) * scale;
    if (spec.format !== "f16") unrotateWeights(values);
  }
}
