/** The loss at each position, and its gradient with respect to the logits. */

import { at, exactLog } from "../../base/mod.ts";
import { type Reals, softmax } from "./operations.ts";

export interface LossOptions {
  readonly targets: Int32Array;
  readonly vocabulary: number;
  /** Of a target in the gradient. */
  readonly weight: number;
  /** Logits to learn from, [rows][vocabulary]. */
  readonly teacher: Reals | undefined;
  readonly teacherShare: number;
}

export interface LossResult {
  readonly loss: number;
  readonly crossEntropy: number;
  readonly targets: number;
  readonly agreed: number;
}

function largestAt(row: Reals): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) best = at(row, i) > at(row, best) ? i : best;
  return best;
}

/** Cross-entropy, mixed with the divergence from a teacher's distribution (Hinton and others, 2015). Logits become gradients. */
export function lossBackward(logits: Reals, options: LossOptions): LossResult {
  const { targets, vocabulary, weight, teacher } = options;
  const share = teacher === undefined ? 0 : options.teacherShare;
  let [loss, crossEntropy, count, agreed] = [0, 0, 0, 0];
  targets.forEach((target, position) => {
    const place = position * vocabulary;
    const row = logits.subarray(place, place + vocabulary);
    if (target < 0) {
      row.fill(0);
      return;
    }
    const best = largestAt(row);
    const aim = at(row, target);
    const soft =
      teacher === undefined ? undefined : Float64Array.from(teacher.subarray(place, place + vocabulary));
    agreed += best === (soft === undefined ? target : largestAt(soft)) ? 1 : 0;
    const logSum = softmax(row, vocabulary);
    if (soft !== undefined) softmax(soft, vocabulary);
    const divergence = (soft ?? new Float64Array(0)).reduce(
      (sum, p, i) =>
        sum + (p === 0 ? 0 : p * (exactLog(p) - exactLog(Math.max(Number.MIN_VALUE, at(row, i))))),
      0,
    );
    count++;
    crossEntropy += logSum - aim;
    loss += (1 - share) * (logSum - aim) + share * divergence;
    for (let i = 0; i < vocabulary; i++) {
      const wanted = share * (soft?.[i] ?? 0) + (i === target ? 1 - share : 0);
      row[i] = weight * (at(row, i) - wanted);
    }
  });
  return { loss, crossEntropy, targets: count, agreed };
}
