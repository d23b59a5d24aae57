/** The loss at each position, and its gradient with respect to the logits. */

import { at, exactLog } from "../../base/mod.ts";
import type { Lesson } from "../../kernels/mod.ts";
import { type Reals, softmax } from "./operations.ts";

export interface LossOptions {
  readonly targets: Int32Array;
  readonly vocabulary: number;
  /** Of a target in the gradient. */
  readonly weight: number;
  /** What is learned from a teacher, whose logits are [rows][vocabulary]. */
  readonly lesson: (Omit<Lesson, "teacher"> & { readonly teacher: Reals }) | undefined;
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

interface Softened {
  readonly teacher: Float64Array;
  readonly own: Float64Array;
  /** Of the own distribution from the teacher's, nats. */
  readonly divergence: number;
}

/** Two rows' distributions at a temperature (Hinton and others, 2015). */
function soften(teacher: Reals, own: Reals, temperature: number): Softened {
  const softened = (row: Reals): Float64Array => {
    const values = Float64Array.from(row, (value) => value / temperature);
    softmax(values, values.length);
    return values;
  };
  const [wanted, had] = [softened(teacher), softened(own)];
  const divergence = wanted.reduce(
    (sum, p, i) => sum + (p === 0 ? 0 : p * (exactLog(p) - exactLog(Math.max(Number.MIN_VALUE, at(had, i))))),
    0,
  );
  return { teacher: wanted, own: had, divergence };
}

/** Cross-entropy, mixed with what a lesson says. Logits become gradients. */
export function lossBackward(logits: Reals, options: LossOptions): LossResult {
  const { targets, vocabulary, weight, lesson } = options;
  const { share, temperature, greedy } = lesson ?? { share: 0, temperature: 1, greedy: 0 };
  const text = 1 - share - greedy;
  let [loss, crossEntropy, count, agreed] = [0, 0, 0, 0];
  targets.forEach((target, position) => {
    const place = position * vocabulary;
    const row = logits.subarray(place, place + vocabulary);
    if (target < 0) {
      row.fill(0);
      return;
    }
    const teacher = lesson?.teacher.subarray(place, place + vocabulary);
    const wanted = teacher === undefined ? target : largestAt(teacher);
    const [aim, favourite] = [at(row, target), at(row, wanted)];
    agreed += largestAt(row) === wanted ? 1 : 0;
    const soft = teacher && soften(teacher, row, temperature);
    const logSum = softmax(row, vocabulary);
    count++;
    crossEntropy += logSum - aim;
    loss += text * (logSum - aim) + greedy * (logSum - favourite);
    loss += share * temperature * temperature * (soft?.divergence ?? 0);
    for (let i = 0; i < vocabulary; i++) {
      const hard = (i === target ? text : 0) + (i === wanted ? greedy : 0);
      const pull = soft === undefined ? 0 : share * temperature * (at(soft.own, i) - at(soft.teacher, i));
      row[i] = weight * ((1 - share) * at(row, i) - hard + pull);
    }
  });
  return { loss, crossEntropy, targets: count, agreed };
}
