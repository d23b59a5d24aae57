/**
 * Training on the native core: forward and backward of a llama in f32, and AdamW. Parameters, gradients and moments are flat
 * arrays of the caller's, shared with the native threads while a call runs.
 */

import { at, ClawError } from "../base/mod.ts";
import { type Addon, loadAddon, type NativeHandle, type NativeTrainer } from "./addon.ts";
import { translate, translated } from "./native-error.ts";

/** Where a matrix lies: offsets in the array of the parameters and, of an adapter's matrices, in that of the adapters. */
export interface LinearPlace {
  readonly weight: number;
  /** A, [rank][in]; undefined without an adapter. */
  readonly down: number | undefined;
  /** B, [out][rank]. */
  readonly up: number | undefined;
  readonly out: number;
  readonly in: number;
}

/** The matrices of a layer in the order the native core takes them. */
export const LINEAR_NAMES = ["q", "k", "v", "output", "gate", "up", "down"] as const;
export type LinearName = (typeof LINEAR_NAMES)[number];

export interface LayerPlaces {
  readonly attentionNorm: number;
  readonly ffnNorm: number;
  readonly linears: Readonly<Record<LinearName, LinearPlace>>;
}

/** A model as the training kernels take it. */
export interface TrainingModel {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly vocabulary: number;
  /** Tokens of an example at most. */
  readonly context: number;
  readonly normEpsilon: number;
  readonly embedding: number;
  readonly outputNorm: number;
  readonly layers: readonly LayerPlaces[];
  /** Of the adapters; 0: there are none, and the parameters themselves are trained. */
  readonly rank: number;
  /** What adapters' outputs are multiplied by. */
  readonly adapterScale: number;
  /** Whether the adapters' A is trained beside B. */
  readonly trainDown: boolean;
}

export interface TrainingArrays {
  readonly parameters: Float32Array;
  readonly adapters: Float32Array;
  /** Of what is trained; empty for a model that is only evaluated. */
  readonly gradients: Float32Array;
  /** [context][headDim / 2][cosine, sine]. */
  readonly rope: Float32Array;
}

/** What values are kept in; computing is always in f32. */
export type StorageType = "f32" | "f16" | "bf16";

export interface TrainingOptions {
  /** Sums that an update's examples are added up in: part of the result, unlike the number of threads. */
  readonly lanes: number;
  /** Whether the gradients of single examples are clipped. */
  readonly clipsExamples: boolean;
  /** Whether layers are computed again for their backward pass: less memory, a third more work. */
  readonly recompute: boolean;
  /** What a layer's activations are kept in until its backward pass, where they are; f32 unless told. */
  readonly activations?: StorageType | undefined;
}

/** A model of the same vocabulary to learn from, and how. What is left of the loss is the cross-entropy with the targets. */
export interface Lesson {
  readonly teacher: ModelTrainer;
  /** Of the loss: the divergence from the teacher's distribution, both taken at `temperature`, times its square. */
  readonly share: number;
  readonly temperature: number;
  /** Of the loss: the cross-entropy with the teacher's most likely token. */
  readonly greedy: number;
}

export interface BatchOptions {
  /** Examples, each `length` tokens and then their `length` targets, -1 for none. */
  readonly length: number;
  readonly withGradient: boolean;
  /** Of a target in the gradient. */
  readonly weight: number;
  /** What the gradient of an example is scaled down to; 0: not. */
  readonly exampleNorm: number;
  readonly lesson?: Lesson | undefined;
}

export interface BatchResult {
  /** Summed over the targets, nats; with a lesson, what it says. */
  readonly loss: number;
  /** Summed over the targets, nats. */
  readonly crossEntropy: number;
  readonly targets: number;
  /** Targets at which the most likely token was the teacher's, or without one the target. */
  readonly agreed: number;
  /** The length of the gradient; 0 without. */
  readonly gradientNorm: number;
}

export interface UpdateNumbers {
  /** What gradients are multiplied by first. */
  readonly scale: number;
  readonly rate: number;
  /** What a parameter loses of itself, the rate included. */
  readonly decay: number;
  readonly beta1: number;
  readonly beta2: number;
  /** 1 - beta^step. */
  readonly correction1: number;
  readonly correction2: number;
  readonly epsilon: number;
}

export interface Moments {
  /** A value for each that is trained; as bf16, two lie where an f32 would. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly type: "f32" | "bf16";
  /** The first so many values decay. */
  readonly decayed: number;
}

/** A model that is trained or evaluated. One call at a time. */
export interface ModelTrainer {
  /** Evaluates examples and, if wanted, replaces the gradients by theirs. */
  batch(examples: Int32Array, options: BatchOptions): Promise<BatchResult>;
  /** AdamW with decoupled decay (Loshchilov and Hutter, 2019). */
  update(moments: Moments, numbers: UpdateNumbers): Promise<void>;
  /** The logits after the last of some tokens. */
  logits(tokens: Int32Array): Promise<Float32Array>;
}

export interface TrainingSource {
  readonly model: TrainingModel;
  readonly arrays: TrainingArrays;
  readonly options: TrainingOptions;
}

/** Threads that train. */
export interface TrainingDevice {
  readonly name: string;
  readonly threads: number;
  /** Prepares a model. E_MEMORY. */
  open(source: TrainingSource): ModelTrainer;
  close(): void;
}

/** Opens native threads to train on; by default with the fastest instruction set. E_NATIVE. */
export function openNativeTraining(options: { threads: number; isa?: string | undefined }): TrainingDevice {
  const addon = loadAddon();
  const { isas } = addon.info();
  const isa = options.isa ?? at(isas, isas.length - 1);
  if (!isas.includes(isa)) throw new ClawError("E_NATIVE", `The native core has no ${isa} kernels here.`);
  const handle = translated(() => addon.createDevice(options.threads, isa, 0, 0, -1));
  return {
    name: `cpu-${isa}`,
    threads: options.threads,
    open: (source) => translated(() => new NativeModelTrainer(addon, handle, source)),
    close: () => addon.close(handle),
  };
}

class NativeModelTrainer implements ModelTrainer {
  readonly #addon: Addon;
  readonly #trainer: NativeTrainer;
  readonly #vocabulary: number;

  constructor(addon: Addon, handle: NativeHandle, source: TrainingSource) {
    const { model, arrays } = source;
    const { parameters, adapters, gradients, rope } = arrays;
    const inverse = rope.map((value, i) => (i % 2 === 0 ? value : -value));
    const scalars = Float32Array.of(model.normEpsilon, model.adapterScale);
    const tables = [rope, inverse] as const;
    this.#addon = addon;
    this.#vocabulary = model.vocabulary;
    const numbers = integers(source);
    this.#trainer = addon.createTrainer(handle, numbers, scalars, parameters, adapters, gradients, ...tables);
  }

  async batch(examples: Int32Array, options: BatchOptions): Promise<BatchResult> {
    const { length, lesson } = options;
    const shape = Int32Array.of(examples.length / (2 * length), length, options.withGradient ? 1 : 0);
    const { share, temperature, greedy } = lesson ?? { share: 0, temperature: 0, greedy: 0 };
    const numbers = Float32Array.of(options.weight, options.exampleNorm, share, temperature, greedy);
    const other = lesson?.teacher instanceof NativeModelTrainer ? lesson.teacher.#trainer : undefined;
    try {
      const result = await this.#addon.trainBatch(this.#trainer, examples, shape, numbers, other);
      const [loss, crossEntropy, targets, agreed, squares] = result;
      return { loss, crossEntropy, targets, agreed, gradientNorm: Math.sqrt(squares) };
    } catch (error) {
      throw translate(error);
    }
  }

  async update({ first, second, decayed, type }: Moments, n: UpdateNumbers): Promise<void> {
    const { scale, rate, decay, beta1, beta2, correction1, correction2, epsilon } = n;
    const corrections = [correction1, correction2, epsilon, Number(type === "bf16")];
    const numbers = Float32Array.of(scale, rate, decay, beta1, beta2, ...corrections);
    try {
      await this.#addon.updateParameters(this.#trainer, first, second, decayed, numbers);
    } catch (error) {
      throw translate(error);
    }
  }

  async logits(tokens: Int32Array): Promise<Float32Array> {
    const logits = new Float32Array(this.#vocabulary);
    try {
      await this.#addon.trainLogits(this.#trainer, tokens, logits);
    } catch (error) {
      throw translate(error);
    }
    return logits;
  }
}

const ABSENT = -1;

/** `Keep` of native/train/model.h. */
function keepCode({ recompute, activations = "f32" }: TrainingOptions): number {
  return recompute ? 1 : { f32: 0, f16: 2, bf16: 3 }[activations];
}

/** The model as `createTrainer` of native/addon-train.cc reads it. */
function integers({ model, arrays, options }: TrainingSource): Int32Array {
  const { width, heads, kvHeads, headDim, ffnWidth, vocabulary, context } = model;
  const place = ({ weight, down = ABSENT, up = ABSENT, out, in: into }: LinearPlace): number[] => [
    weight,
    down,
    up,
    out,
    into,
  ];
  return Int32Array.of(
    ...[model.layers.length, width, heads, kvHeads, headDim, ffnWidth, vocabulary, context],
    ...[model.embedding, model.outputNorm, model.rank, Number(model.trainDown), keepCode(options)],
    ...[arrays.parameters.length, arrays.adapters.length, options.lanes, Number(options.clipsExamples)],
    ...model.layers.flatMap(({ attentionNorm, ffnNorm, linears }) => [
      ...[attentionNorm, ffnNorm],
      ...LINEAR_NAMES.flatMap((name) => place(linears[name])),
    ]),
  );
}
