/** The likeliest token, and what turns logits into log-probabilities. */

import { at, ClawError, exactExpEach, exactLog } from "../../base/mod.ts";

/** The id of the largest logit, the lowest id among equals. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let largest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit > largest) {
      largest = logit;
      best = id;
    } else if (Number.isNaN(logit)) {
      best = -1;
      break;
    }
  }
  if (best >= 0 && largest < Number.POSITIVE_INFINITY) return best;
  throw new ClawError("E_NUMERIC", "The model's logits are not finite at this position.");
}

/** log of the sum of exp over all logits, in id order; holds the scratch memory that takes. */
export class LogSumExp {
  readonly #terms: Float64Array;

  constructor(vocabulary: number) {
    this.#terms = new Float64Array(vocabulary);
  }

  /** E_NUMERIC when the logits are not finite. */
  of(logits: Float32Array): number {
    const terms = this.#terms;
    const largest = at(logits, argmax(logits));
    for (let id = 0; id < logits.length; id++) terms[id] = (logits[id] as number) - largest;
    exactExpEach(terms, logits.length);
    let sum = 0;
    for (let id = 0; id < logits.length; id++) sum += terms[id] as number;
    return largest + exactLog(sum);
  }
}
