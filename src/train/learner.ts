/** A model and its optimizer: what one step of training changes. */

import { assert, ClawError, exactExp, exactLog } from "../base/mod.ts";
import type { BatchResult, Lesson, ModelTrainer, StorageType, TrainingDevice } from "../kernels/mod.ts";
import { type ModelDescription, ropeTable } from "../model/mod.ts";
import type { OptimizerConfig } from "./config.ts";
import {
  type AdapterShape,
  adapterLayout,
  type ParameterLayout,
  parameterLayout,
  tensorViews,
  trainingModel,
} from "./layout.ts";
import type { ModelWeights } from "./weights.ts";

/** How a teacher is followed. */
export type LessonNumbers = Omit<Lesson, "teacher">;

export interface LearnerOptions {
  readonly device: TrainingDevice;
  readonly description: ModelDescription;
  /** Tokens of an example at most. */
  readonly context: number;
  readonly parameters: Float32Array;
  /** Adapters to train instead of the parameters. */
  readonly adapter?: (AdapterShape & { readonly values: Float32Array }) | undefined;
  readonly optimizer: OptimizerConfig;
  readonly lanes: number;
  readonly recompute: boolean;
  readonly activations?: StorageType | undefined;
  /** A model to learn from, and how that is done at a step. */
  readonly distill?: { readonly teacher: ModelTrainer; at(step: number): LessonNumbers } | undefined;
}

/** Examples: each its tokens and then its targets, as the kernels read them. */
export interface Examples {
  readonly values: Int32Array;
  readonly length: number;
  /** Places with a target. */
  readonly targets: number;
}

export interface StepResult extends BatchResult {
  /** Whether the gradient was longer than allowed and scaled down. */
  readonly clipped: boolean;
}

export class Learner {
  readonly layout: ParameterLayout;
  /** What is trained: the parameters or the adapters. */
  readonly trained: Float32Array;
  /** The moments as bits: values of f32, or two of bf16 in each. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly #trainer: ModelTrainer;
  readonly #options: LearnerOptions;

  constructor(options: LearnerOptions) {
    const { device, description, context, parameters, adapter, optimizer } = options;
    this.layout = adapter === undefined ? parameterLayout(description) : adapterLayout(description, adapter);
    this.trained = adapter?.values ?? parameters;
    assert(this.trained.length === this.layout.count, "What is trained has the size of its layout.");
    const moments = momentWords(this.layout.count, optimizer.moments);
    this.first = new Float32Array(moments);
    this.second = new Float32Array(moments);
    this.#options = options;
    const arrays = {
      parameters,
      adapters: adapter?.values ?? new Float32Array(0),
      gradients: new Float32Array(this.layout.count),
      rope: ropeTable(description, context),
    };
    const { lanes, recompute, activations } = options;
    this.#trainer = device.open({
      model: trainingModel(description, context, adapter),
      arrays,
      options: { lanes, recompute, activations, clipsExamples: optimizer.exampleClip > 0 },
    });
  }

  /** The tensors that are trained, by name. */
  tensors(): Map<string, Float32Array> {
    return tensorViews(this.layout, this.trained);
  }

  /** All that changes from step to step, by name. */
  get state(): ReadonlyMap<string, Float32Array> {
    return new Map([
      ["trained", this.trained],
      ["first", this.first],
      ["second", this.second],
    ]);
  }

  /** One update, the `step`-th from 0. E_NUMERIC where the loss or the gradient is no number any more. */
  async step(examples: Examples, step: number, rate: number): Promise<StepResult> {
    const { optimizer } = this.#options;
    const weight = 1 / Math.max(1, examples.targets);
    const count = examples.values.length / (2 * examples.length);
    const result = await this.#trainer.batch(examples.values, {
      length: examples.length,
      withGradient: true,
      weight,
      // An example's gradient is its share of the update's: clipped at its share of the bound.
      exampleNorm: optimizer.exampleClip / count,
      lesson: this.#lesson(step),
    });
    const { gradientNorm, loss } = result;
    if (!Number.isFinite(gradientNorm) || !Number.isFinite(loss)) {
      throw new ClawError(
        "E_NUMERIC",
        `The loss at step ${step + 1} is no number; the rate may be too high.`,
      );
    }
    const clipped = optimizer.clip > 0 && gradientNorm > optimizer.clip;
    const { beta1, beta2, epsilon, decay, moments: type = "f32" } = optimizer;
    await this.#trainer.update(
      { first: this.first, second: this.second, type, decayed: this.layout.decayed },
      {
        ...{ rate, beta1, beta2, epsilon, decay: rate * decay },
        scale: clipped ? optimizer.clip / gradientNorm : 1,
        correction1: 1 - power(beta1, step + 1),
        correction2: 1 - power(beta2, step + 1),
      },
    );
    return { ...result, clipped };
  }

  /** The loss of examples, without learning from them. */
  evaluate(examples: Examples): Promise<BatchResult> {
    const { length, values } = examples;
    const options = { length, withGradient: false, weight: 0, exampleNorm: 0, lesson: this.#lesson(0) };
    return this.#trainer.batch(values, options);
  }

  #lesson(step: number): Lesson | undefined {
    const { distill } = this.#options;
    return distill && { teacher: distill.teacher, ...distill.at(step) };
  }

  /** The logits after some tokens. */
  logits(tokens: Int32Array): Promise<Float32Array> {
    return this.#trainer.logits(tokens);
  }
}

/** Opens a model that is only evaluated, as a teacher is. */
export function openTeacher(
  device: TrainingDevice,
  { description, parameters }: ModelWeights,
  { lanes = 1, context = description.context }: { readonly lanes?: number; readonly context?: number } = {},
): ModelTrainer {
  const arrays = {
    parameters,
    adapters: new Float32Array(0),
    gradients: new Float32Array(0),
    rope: ropeTable(description, context),
  };
  const options = { lanes, recompute: false, clipsExamples: false };
  return device.open({ model: trainingModel(description, context), arrays, options });
}

/** Words of 32 bits that so many moments take. */
function momentWords(count: number, type: OptimizerConfig["moments"]): number {
  return type === "bf16" ? Math.ceil(count / 2) : count;
}

/** base^exponent for a base from 0 to 1, the same on every machine. */
function power(base: number, exponent: number): number {
  return base === 0 ? 0 : exactExp(exponent * exactLog(base));
}
