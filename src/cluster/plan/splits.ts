/** Ways to cut a half layer's segments between ranks: counts, and the order in which ranks take them. */

import { at } from "../../base/mod.ts";
import { rootsOf } from "./cost.ts";
import type { Range } from "./plan.ts";

/** By rank. */
export interface Split {
  readonly counts: readonly number[];
  readonly ranges: readonly Range[];
  /** Vectors that each rank sends. */
  readonly roots: readonly number[];
}

/** Every split of `segments` between `ranks`, but those that send as much as another of the same counts, or more. */
export function splitsOf(segments: number, ranks: number): Split[] {
  return countsOf(segments, ranks).flatMap((counts) => {
    const kept: Split[] = [];
    for (const split of arrangements(segments, counts)) {
      if (kept.some(({ roots }) => roots.every((count, rank) => count <= at(split.roots, rank)))) continue;
      kept.push(split);
    }
    return kept;
  });
}

/** Lists of `ranks` positive counts that add up to `segments`. */
function countsOf(segments: number, ranks: number): number[][] {
  if (ranks === 1) return segments >= 1 ? [[segments]] : [];
  const found: number[][] = [];
  for (let first = 1; first <= segments - (ranks - 1); first++) {
    for (const rest of countsOf(segments - first, ranks - 1)) found.push([first, ...rest]);
  }
  return found;
}

function arrangements(segments: number, counts: readonly number[]): Split[] {
  // Where every rank has one segment, their order changes nothing.
  const orders = counts.every((count) => count === 1)
    ? [counts.map((_, rank) => rank)]
    : ordersOf(counts.length);
  return orders.map((order) => {
    const ranges: Range[] = counts.map(() => [0, 0]);
    let first = 0;
    for (const rank of order) {
      const end = first + at(counts, rank);
      ranges[rank] = [first, end];
      first = end;
    }
    return { counts, ranges, roots: ranges.map((range) => rootsOf(segments, range)) };
  });
}

/** Every order of the numbers below `count`, in lexicographic order. */
function ordersOf(count: number): number[][] {
  const extend = (order: readonly number[]): number[][] => {
    if (order.length === count) return [[...order]];
    const left = Array.from({ length: count }, (_, rank) => rank).filter((rank) => !order.includes(rank));
    return left.flatMap((rank) => extend([...order, rank]));
  };
  return extend([]);
}
