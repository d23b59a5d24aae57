/** Batches of a dataset as the kernels read them. */

import type { Dataset } from "./data/mod.ts";
import { NO_TARGET } from "./data/mod.ts";
import type { Examples } from "./learner.ts";

/** The dataset's next `count` windows of `length` tokens. */
export function nextExamples(dataset: Dataset, count: number, length: number): Examples {
  const tokens = new Int32Array(count * length);
  const targets = new Int32Array(count * length);
  dataset.read(tokens, targets);
  const values = new Int32Array(2 * count * length);
  for (let i = 0; i < count; i++) {
    const window = [i * length, (i + 1) * length] as const;
    values.set(tokens.subarray(...window), 2 * i * length);
    values.set(targets.subarray(...window), (2 * i + 1) * length);
  }
  return {
    values,
    length,
    targets: targets.reduce((sum, target) => sum + (target === NO_TARGET ? 0 : 1), 0),
  };
}
