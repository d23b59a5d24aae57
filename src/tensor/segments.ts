/**
 * Segments, groups and the balanced tree: how an inner dimension is cut so that integer sums stay exact and any
 * split between shards adds in the same order. docs/reference/arithmetic.md, "Segments and groups".
 */

import { assert, ClawError, powerOfTwo } from "../base/mod.ts";

/** Values that share a resolution within a segment. */
export const GROUP = 32;

/** Segments a matrix is cut into at most. More would cost time and gain no precision. */
const SEGMENTS_MAX = 8;

/** Doublings of a group's resolution at most: beyond 2^8 a group is below the segment's own rounding error. */
const SHIFT_MAX = 8;

/** Largest magnitudes of integer weights: `i8` one signed byte, `i4` a 4-bit value times a signed byte. */
const WEIGHT_MAX = { i8: 127, i4: 8 * 127 } as const;

/**
 * The segment count of an input of `width` values that may only be cut between whole units of `unit` values: the
 * largest count of at most 8 whose length is a multiple of 32, else the largest that divides.
 */
export function segmentCount(width: number, unit = 1): number {
  assert(width > 0 && width % unit === 0, `A width of ${width} is not whole units of ${unit}.`);
  const units = width / unit;
  let fallback = 1;
  for (let count = SEGMENTS_MAX; count >= 1; count--) {
    if (units % count !== 0) continue;
    if ((width / count) % GROUP === 0) return count;
    fallback = Math.max(fallback, count);
  }
  return fallback;
}

/** E of the arithmetic: how many doublings keep a segment's sum inside int32. E_MODEL_SHAPE when not even none. */
export function maxGroupShift(format: "i8" | "i4", segmentLength: number): number {
  const largest = segmentLength * 127 * WEIGHT_MAX[format];
  if (largest >= 2 ** 31) {
    throw new ClawError(
      "E_MODEL_SHAPE",
      `A segment of ${segmentLength} values is too long for exact ${format} sums.`,
    );
  }
  let shift = 0;
  while (shift < SHIFT_MAX && largest * powerOfTwo(shift + 1) < 2 ** 31) shift++;
  return shift;
}

/** The first leaf of the right half of the balanced tree over [first, end). */
export function treeMiddle(first: number, end: number): number {
  return first + Math.ceil((end - first) / 2);
}

/** A subtree of the balanced tree, by its leaves [first, end). */
export type Subtree = readonly [first: number, end: number];

/** The maximal subtrees of the tree over `count` leaves that lie inside [first, end), in ascending order. */
export function maximalSubtrees(count: number, first: number, end: number): Subtree[] {
  const found: Subtree[] = [];
  const walk = (low: number, high: number): void => {
    if (high <= first || low >= end) return;
    if (low >= first && high <= end) {
      found.push([low, high]);
      return;
    }
    const middle = treeMiddle(low, high);
    walk(low, middle);
    walk(middle, high);
  };
  walk(0, count);
  return found;
}
