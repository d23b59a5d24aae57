/** Decoding: a token of every sequence in each step, at a small context or far into one, alone or in a batch. */

import { assert } from "../base/mod.ts";
import { measurePeaks, type NativePeaks } from "../kernels/mod.ts";
import { timed } from "./clock.ts";
import { kvBytesPerPosition, LocalModel } from "./local.ts";
import type { BenchOptions, Outcome } from "./report.ts";
import { medians } from "./rounds.ts";
import { computeShare, shareOf } from "./share.ts";
import { versus } from "./versus.ts";
import { modelWork } from "./work.ts";

export interface DecodingTask {
  readonly path: string;
  readonly sequences: number;
  /** Positions of each sequence, those that a round decodes included. */
  readonly context: number;
  /** Tokens of each sequence that a round decodes. */
  readonly steps: number;
}

/** Something else that every round times. */
export interface Companion {
  readonly name: string;
  /** Made ready once; what it returns runs once in each round. */
  prepare(local: LocalModel, task: DecodingTask): () => Promise<void>;
  /** What its median says, for the report. */
  describe(
    local: LocalModel,
    task: DecodingTask,
    figures: CompanionFigures,
  ): Readonly<Record<string, unknown>>;
}

export interface CompanionFigures {
  readonly seconds: number;
  /** Of a decoding step. */
  readonly stepSeconds: number;
  readonly peaks: NativePeaks;
}

export async function measureDecoding(
  options: BenchOptions,
  task: DecodingTask,
  companion: Companion | undefined,
): Promise<Outcome> {
  const { format, rounds, threads } = options;
  const { path, sequences, context, steps } = task;
  const onProgress = options.onProgress("Loading the model:");
  const local = await LocalModel.open({ path, format, threads, sequences, context, rows: 1, onProgress });
  await local.fill(context);
  const peaks = measurePeaks(local.device.threads);
  const peerTask = { model: path, threads: local.device.threads, sequences, steps, filled: context - steps };
  const { ours, peer } = await versus(
    decodingRound(local, task, companion),
    options.peer ? { ...peerTask, task: "decode" } : undefined,
    { rounds, tokens: sequences * steps },
  );
  const seconds = medians(ours);
  const stepSeconds = secondsOf(seconds, "decode") / steps;
  const outcome: Outcome = {
    device: local.device.name,
    threads: local.device.threads,
    peaks,
    unit: "tokens/s",
    ours: sequences / stepSeconds,
    peer,
    roundSeconds: ours,
    details: {
      sequences,
      context,
      stepsPerRound: steps,
      medianSeconds: seconds,
      ...stepShares(local, task, { seconds: stepSeconds, peaks, format }),
      ...companion?.describe(local, task, {
        seconds: secondsOf(seconds, companion.name),
        stepSeconds,
        peaks,
      }),
    },
  };
  local.close();
  return outcome;
}

function decodingRound(
  local: LocalModel,
  task: DecodingTask,
  companion: Companion | undefined,
): () => Promise<Record<string, number>> {
  const { sequences, context, steps } = task;
  const decode = async (): Promise<void> => {
    for (let position = context - steps; position < context; position++) {
      await local.decode({ first: 0, count: sequences, position });
    }
  };
  const beside = companion?.prepare(local, task);
  return async () => {
    const seconds = await timed(decode);
    if (companion === undefined || beside === undefined) return { decode: seconds };
    return { decode: seconds, [companion.name]: await timed(beside) };
  };
}

function secondsOf(medianSeconds: Readonly<Record<string, number>>, name: string): number {
  const seconds = medianSeconds[name];
  assert(seconds !== undefined, `No round timed ${name}.`);
  return seconds;
}

interface StepFigures {
  readonly seconds: number;
  readonly peaks: NativePeaks;
  readonly format: BenchOptions["format"];
}

/** A step's bytes against the read bandwidth, and its multiply-adds in matrices against the arithmetic peak. */
function stepShares(
  local: LocalModel,
  { sequences, context }: DecodingTask,
  { seconds, peaks, format }: StepFigures,
): Readonly<Record<string, unknown>> {
  const { rowMacs, outputMacs, readFraction } = modelWork(local.file.description, format);
  const weightBytes = local.device.memory().weights * readFraction;
  const kvBytes = sequences * context * kvBytesPerPosition(local.file);
  return {
    weightBytes,
    kvBytes,
    bandwidth: shareOf(weightBytes + kvBytes, seconds, peaks.readBytes),
    compute: computeShare(sequences * (rowMacs + outputMacs), seconds, { peaks, format }),
  };
}
