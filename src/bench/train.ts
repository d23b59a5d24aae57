/** Training: updates of a small model, beside the processor's ceiling of f32 operations. */

import { measurePeaks, openNativeTraining } from "../kernels/mod.ts";
import { Exercise } from "../train/mod.ts";
import { type CheckpointReport, measureCheckpoints } from "./checkpoints.ts";
import { timed } from "./clock.ts";
import { median } from "./rounds.ts";
import { withFolder } from "./scratch.ts";

export interface TrainReport {
  readonly device: string;
  readonly threads: number;
  readonly rounds: number;
  /** Values that are trained. */
  readonly parameters: number;
  readonly tokensPerSecond: number;
  /** f32 operations a second in the matrices' products, forward and backward; the time is that of the whole update. */
  readonly operationsPerSecond: number;
  /** What the processor reaches with fused multiply-adds alone, on as many threads. */
  readonly peakPerSecond: number;
  readonly share: number;
  readonly roundSeconds: readonly number[];
  /** What checkpoints cost, measured with rounds of their own. */
  readonly checkpoints: CheckpointReport;
}

export interface TrainOptions {
  readonly threads: number;
  /** Updates that are timed, and rounds with a checkpoint and without. */
  readonly rounds: number;
  /** Where checkpoints are written; undefined: where temporary files are. */
  readonly folder: string | undefined;
}

/** Each value of a matrix is multiplied and added once forward and twice backward, for every token. */
const OPERATIONS_PER_VALUE = 6;

/** Times updates after one that warms up. E_NATIVE, E_MEMORY, E_FILE. */
export async function measureTraining({ threads, rounds, folder }: TrainOptions): Promise<TrainReport> {
  const device = openNativeTraining({ threads });
  try {
    const exercise = new Exercise(device);
    const peak = measurePeaks(threads).floatOperations[1];
    await exercise.update();
    const roundSeconds: number[] = [];
    for (let round = 0; round < rounds; round++) roundSeconds.push(await timed(() => exercise.update()));
    const tokensPerSecond = exercise.tokens / median(roundSeconds);
    const operationsPerSecond = tokensPerSecond * OPERATIONS_PER_VALUE * exercise.matrixValues;
    const checkpoints = await withFolder(
      (scratch) => measureCheckpoints(exercise, { rounds, threads, folder: scratch }),
      folder,
    );
    return {
      checkpoints,
      ...{ device: device.name, threads, rounds, parameters: exercise.parameters, tokensPerSecond },
      ...{ operationsPerSecond, peakPerSecond: peak, share: operationsPerSecond / peak, roundSeconds },
    };
  } finally {
    device.close();
  }
}
