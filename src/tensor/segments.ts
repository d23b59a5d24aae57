/**
 * Segments, groups, blocks of rotation and the balanced tree: how an inner dimension is cut so that integer sums stay
 * exact and any split between shards adds in the same order. docs/reference/arithmetic.md, "Segments and groups" and
 * "Rotation".
 */

import { assert, ClawError } from "../base/mod.ts";

/** `i4` weights that share a multiplier within a segment. */
export const GROUP = 32;

/** `i8` values that share a scale within a segment. */
export const SCALE_GROUP = 64;

/** Segments a matrix is cut into at most. More would cost time and gain no precision. */
const SEGMENTS_MAX = 8;

/** Values a rotation mixes at most. */
const ROTATION_MAX = 1024;

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

/** Scales of one segment of integer weights or activations: `i8` has one for each group of 64 values, `i4` a single one. */
export function scalesPerSegment(format: "f16" | "i8" | "i4", segmentLength: number): number {
  return format === "i8" ? Math.ceil(segmentLength / SCALE_GROUP) : 1;
}

/** Refuses a segment whose integer sums could leave int32. E_MODEL_SHAPE. */
export function requireExactSums(format: "i8" | "i4", segmentLength: number): void {
  if (segmentLength * 127 * WEIGHT_MAX[format] < 2 ** 31) return;
  throw new ClawError(
    "E_MODEL_SHAPE",
    `A segment of ${segmentLength} values is too long for exact ${format} sums.`,
  );
}

/** A block of 2^`power` values, from its segment's value `first` on. */
export interface RotationBlock {
  readonly first: number;
  readonly power: number;
}

/** The blocks a segment is rotated in, from its start: each the largest power of two left, of at most 1024 values. */
export function rotationBlocks(segmentLength: number): RotationBlock[] {
  const blocks: RotationBlock[] = [];
  for (let first = 0; first < segmentLength; ) {
    const power = 31 - Math.clz32(Math.min(segmentLength - first, ROTATION_MAX));
    blocks.push({ first, power });
    first += 1 << power;
  }
  return blocks;
}

/** Whether a rotation negates the value at this position of a segment. */
export function rotationNegates(position: number): boolean {
  let u = Math.imul(position, 2654435761);
  u ^= u >>> 15;
  u = Math.imul(u, 2246822519);
  u ^= u >>> 13;
  return (u & 1) === 1;
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
