/** What keeping checkpoints costs training: updates beside one that is written, and undisturbed ones, by turns. */

import { CHECKPOINT_SECONDS_DEFAULT, CheckpointWriter, type Exercise, sizesOf } from "../train/mod.ts";
import { timed } from "./clock.ts";
import { interleave, median, medians } from "./rounds.ts";

export interface CheckpointReport {
  /** Of a checkpoint. */
  readonly bytes: number;
  /** Checkpoints written. */
  readonly count: number;
  /** How long a checkpoint holds the step it follows. */
  readonly stallMsMedian: number;
  readonly stallMsMax: number;
  /** What training loses to one: the stall, and what the writing thread takes from the others. */
  readonly costSeconds: number;
  /** Between two of a run that is configured no otherwise. */
  readonly intervalSeconds: number;
  /** Without, and with one in each interval. */
  readonly tokensPerSecond: { readonly off: number; readonly on: number };
  /** Of the throughput, lost to checkpoints. */
  readonly share: number;
  readonly roundSeconds: { readonly off: readonly number[]; readonly on: readonly number[] };
}

/** Updates of a round: long enough for a checkpoint to be written meanwhile. */
const ROUND_UPDATES = 3;

export interface CheckpointOptions {
  readonly rounds: number;
  readonly threads: number;
  /** Where the checkpoints are written. */
  readonly folder: string;
}

/** Errors: E_FILE, and those of training. */
export async function measureCheckpoints(
  exercise: Pick<Exercise, "state" | "tokens" | "update">,
  { rounds, threads, folder }: CheckpointOptions,
): Promise<CheckpointReport> {
  const { state } = exercise;
  const writer = new CheckpointWriter(folder, sizesOf(state));
  const stalls: number[] = [];
  const updates = async (): Promise<void> => {
    for (let i = 0; i < ROUND_UPDATES; i++) await exercise.update();
  };
  const withCheckpoint = async (): Promise<void> => {
    stalls.push(await timed(() => writer.save({ step: stalls.length, arrays: state, meta: {} })));
    await updates();
    await writer.flush();
  };
  try {
    const { ours, peer } = await interleave(
      rounds,
      async () => ({ on: await timed(withCheckpoint) }),
      async () => ({ off: await timed(updates) }),
    );
    const times = { on: ours.on, off: peer?.off ?? [] };
    const { on, off } = medians(times);
    const costSeconds = on - off;
    // A run counts the time of all its threads.
    const intervalSeconds = CHECKPOINT_SECONDS_DEFAULT / threads;
    const undisturbed = (ROUND_UPDATES * exercise.tokens) / off;
    const share = costSeconds / (intervalSeconds + costSeconds);
    return {
      bytes: [...state.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
      count: stalls.length,
      ...{ stallMsMedian: 1e3 * median(stalls), stallMsMax: 1e3 * Math.max(...stalls) },
      ...{ costSeconds, intervalSeconds, share, roundSeconds: times },
      tokensPerSecond: { off: undisturbed, on: undisturbed * (1 - share) },
    };
  } finally {
    await writer.close();
  }
}
