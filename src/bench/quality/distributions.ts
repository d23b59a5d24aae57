/** Rows of logits as distributions. */

import { assert } from "../../base/mod.ts";

/** Mean over the rows of KL(base || other) of their softmax, in nats. */
export function meanDivergence(base: readonly Float32Array[], other: readonly Float32Array[]): number {
  assert(base.length === other.length && base.length > 0, "Both sides have the same rows.");
  const total = base.reduce((sum, row, index) => sum + divergence(row, other[index] as Float32Array), 0);
  return total / base.length;
}

function divergence(base: Float32Array, other: Float32Array): number {
  const [logBase, logOther] = [logSumExp(base), logSumExp(other)];
  let sum = 0;
  for (let id = 0; id < base.length; id++) {
    const logP = (base[id] as number) - logBase;
    sum += Math.exp(logP) * (logP - ((other[id] as number) - logOther));
  }
  return sum;
}

function logSumExp(logits: Float32Array): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}
