/**
 * The epochs that ranks work under: the lease's holder counts the runtimes that it opens, and of two holders the later one's
 * are all newer.
 */

import { assert } from "../../base/mod.ts";

/** Of the lease, as its state says. */
export type HolderEpoch = number;

/** Runtimes that a holder may open: one each second for twelve days. */
const RUNTIMES_MAX: number = 2 ** 20;

/** Of a holder's runtime of this number, from 0. */
export function workEpoch(holder: HolderEpoch, runtime: number): number {
  assert(runtime < RUNTIMES_MAX && holder >= 1, `Runtime ${runtime} of holder ${holder} has no epoch.`);
  const epoch = holder * RUNTIMES_MAX + runtime;
  assert(Number.isSafeInteger(epoch), `Epoch ${holder} of the lease is too high.`);
  return epoch;
}

export function holderOf(epoch: number): HolderEpoch {
  return Math.floor(epoch / RUNTIMES_MAX);
}
