/** The order in which an epoch takes its windows. */

import { Generator } from "../../model/mod.ts";

/** The streams of epochs begin here; see `Generator`. */
const SHUFFLE_STREAM = 0x7368_7566;

/** A permutation of 0 to `count` - 1: a function of the seed and the epoch alone. Source: Fisher and Yates; Durstenfeld, 1964. */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  const generator = new Generator(seed, SHUFFLE_STREAM + epoch);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = generator.below(last + 1);
    const kept = order[last]!;
    order[last] = order[other]!;
    order[other] = kept;
  }
  return order;
}
