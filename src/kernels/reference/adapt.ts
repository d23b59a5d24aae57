/** Low-rank adapters: what they add to a matrix's outputs (arithmetic.md, "Adapters"). */

import { fma } from "./float.ts";
import { treeSum } from "./linear.ts";

/** A matrix of an adapter: A as [width][rank], B as [rank][outputs]. */
interface Factor {
  readonly values: Float32Array;
  readonly rank: number;
}

interface Leaves {
  /** [segments of the whole][stride] */
  readonly leaves: Float32Array;
  readonly stride: number;
}

/** Leaves `first` and on of A x: a chain over each of the `segments` of x. */
export function adaptDownRow(
  x: Float32Array,
  { values, rank }: Factor,
  { first, segments, leaves, stride }: Leaves & { readonly first: number; readonly segments: number },
): void {
  const length = x.length / segments;
  for (let segment = 0; segment < segments; segment++) {
    for (let r = 0; r < rank; r++) {
      let sum = 0;
      for (let k = segment * length; k < (segment + 1) * length; k++) {
        sum = fma(values[k * rank + r] as number, x[k] as number, sum);
      }
      leaves[(first + segment) * stride + r] = sum;
    }
  }
}

/** Adds B times the scaled roots of the trees over the leaves. */
export function adaptUpRow(
  leaves: Float32Array,
  { values, rank }: Factor,
  { scale, stride, out }: { readonly scale: number; readonly stride: number; readonly out: Float32Array },
): void {
  const segments = leaves.length / stride;
  const roots = Float32Array.from({ length: rank }, (_, r) => {
    return treeSum((segment) => leaves[segment * stride + r] as number, 0, segments) * scale;
  });
  for (let n = 0; n < out.length; n++) {
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum = fma(values[r * out.length + n] as number, roots[r] as number, sum);
    }
    out[n] = (out[n] as number) + sum;
  }
}
