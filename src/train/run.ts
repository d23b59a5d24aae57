/** A training run from its first step, or the last one kept, to its end. */

import { assert } from "../base/mod.ts";
import type { BatchResult } from "../kernels/mod.ts";
import type { RunConfig } from "./config.ts";
import type { Dataset } from "./data/mod.ts";
import { nextExamples } from "./examples.ts";
import type { Examples, Learner, StepResult } from "./learner.ts";
import { rateAt, totalSteps } from "./schedule.ts";

export interface StepReport {
  /** Updates done, and in all. */
  readonly step: number;
  readonly steps: number;
  /** Nats per token, of the step's examples before it. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly clipped: boolean;
  readonly rate: number;
  /** Places read by the step. */
  readonly tokens: number;
}

export interface ValidReport {
  readonly step: number;
  /** Nats per token. */
  readonly loss: number;
  readonly targets: number;
  /** The share of places where the likeliest token was the teacher's or, without one, the text's. */
  readonly agreement: number;
}

/** What a run tells as it goes. All are awaited. */
export interface RunEvents {
  onStep(report: StepReport): Promise<void> | void;
  onValid(report: ValidReport): Promise<void> | void;
  /** After every step: whether to stop here. */
  afterStep(step: number): Promise<boolean> | boolean;
}

export interface RunParts {
  readonly config: RunConfig;
  readonly context: number;
  readonly learner: Learner;
  readonly train: Dataset;
  /** Opened anew for each look, so that each begins at the same place. */
  openValid(): Dataset;
  /** Updates done already. */
  readonly start: number;
}

/** Trains until the schedule ends, or `afterStep` says so; whether it ended. E_NUMERIC where the loss diverges. */
export async function runTraining(parts: RunParts, events: RunEvents): Promise<boolean> {
  const { config, context, learner, train, start } = parts;
  const { batch } = config.schedule;
  const steps = totalSteps(config.schedule, context);
  assert(start <= steps, "A run goes on where it was, not beyond its end.");
  for (let step = start; step < steps; step++) {
    const rate = rateAt(step, steps, config.schedule);
    const result = await learner.step(nextExamples(train, batch, context), step, rate);
    const { gradientNorm, clipped } = result;
    const tokens = batch * context;
    await events.onStep({ step: step + 1, steps, loss: lossOf(result), gradientNorm, clipped, rate, tokens });
    const ends = step + 1 === steps;
    if (ends || (step + 1) % config.validEvery === 0)
      await events.onValid(await validate(parts, step + 1, ends));
    if (await events.afterStep(step + 1)) return ends;
  }
  return true;
}

const lossOf = ({ loss, targets }: StepResult): number => loss / Math.max(1, targets);

/** The loss on the validation text: some of it, or all. */
async function validate(parts: RunParts, step: number, all: boolean): Promise<ValidReport> {
  const { config, context, learner } = parts;
  const valid = parts.openValid();
  try {
    const { batch } = config.schedule;
    const windows = all ? valid.windows : Math.min(valid.windows, config.validBatches * batch);
    const evaluate = (examples: Examples): Promise<BatchResult> => learner.evaluate(examples);
    return { step, ...(await lossOn(valid, evaluate, { context, batch, windows })) };
  } finally {
    valid.close();
  }
}

interface LossOptions {
  readonly context: number;
  /** Examples evaluated together. */
  readonly batch: number;
  /** Windows taken. */
  readonly windows: number;
}

/** The loss on a dataset's next windows. */
export async function lossOn(
  dataset: Dataset,
  evaluate: (examples: Examples) => Promise<BatchResult>,
  { context, batch, windows }: LossOptions,
): Promise<Omit<ValidReport, "step">> {
  let [loss, targets, agreed] = [0, 0, 0];
  for (let done = 0; done < windows; ) {
    const count = Math.min(batch, windows - done);
    const result = await evaluate(nextExamples(dataset, count, context));
    loss += result.crossEntropy;
    targets += result.targets;
    agreed += result.agreed;
    done += count;
  }
  return { loss: loss / Math.max(1, targets), targets, agreement: agreed / Math.max(1, targets) };
}
