/** Training in TypeScript, for machines without a native core. The same steps as the native one's, other last bits. */

import { at } from "../../base/mod.ts";
import type {
  BatchOptions,
  BatchResult,
  ModelTrainer,
  Moments,
  StorageType,
  TrainingDevice,
  TrainingSource,
  UpdateNumbers,
} from "../../kernels/mod.ts";
import { bf16ToF32, f16ToF32, f32ToBf16Bits, f32ToF16Bits } from "../../tensor/mod.ts";
import { ReferenceExample } from "./example.ts";
import { lossBackward } from "./loss.ts";
import type { Reals } from "./operations.ts";

export const referenceTraining: TrainingDevice = {
  name: "reference",
  threads: 1,
  open: (source) => new ReferenceTrainer(source),
  close: () => undefined,
};

/** Values as they are once they were kept; undefined: as they were. */
const rounding: Readonly<Record<StorageType, ((value: number) => number) | undefined>> = {
  f32: undefined,
  f16: (value) => f16ToF32(f32ToF16Bits(value)),
  bf16: (value) => bf16ToF32(f32ToBf16Bits(value)),
};

class ReferenceTrainer implements ModelTrainer {
  readonly #source: TrainingSource;

  constructor(source: TrainingSource) {
    this.#source = source;
  }

  batch(examples: Int32Array, options: BatchOptions): Promise<BatchResult> {
    const { gradients } = this.#source.arrays;
    if (options.withGradient) gradients.fill(0);
    const sum = { loss: 0, crossEntropy: 0, targets: 0, agreed: 0 };
    for (let first = 0; first < examples.length; first += 2 * options.length) {
      const tokens = examples.subarray(first, first + options.length);
      const targets = examples.subarray(first + options.length, first + 2 * options.length);
      const result = this.#example(tokens, targets, options);
      sum.loss += result.loss;
      sum.crossEntropy += result.crossEntropy;
      sum.targets += result.targets;
      sum.agreed += result.agreed;
    }
    return Promise.resolve({ ...sum, gradientNorm: options.withGradient ? length(gradients) : 0 });
  }

  #example(tokens: Int32Array, targets: Int32Array, options: BatchOptions): ReturnType<typeof lossBackward> {
    const { model, arrays } = this.#source;
    const { activations = "f32" } = this.#source.options;
    const { weight, withGradient, exampleNorm, lesson } = options;
    const clips = withGradient && exampleNorm > 0;
    const own = clips ? new Float32Array(arrays.gradients.length) : arrays.gradients;
    const example = new ReferenceExample(
      model,
      { ...arrays, gradients: withGradient ? own : undefined, rounded: rounding[activations] },
      tokens,
    );
    const logits = example.forward();
    const teacher = lesson?.teacher instanceof ReferenceTrainer ? lesson.teacher : undefined;
    const result = lossBackward(logits, {
      ...{ targets, weight, vocabulary: model.vocabulary },
      lesson: lesson && teacher && { ...lesson, teacher: teacher.#forward(tokens) },
    });
    if (!withGradient) return result;
    example.backward(logits);
    if (clips) addScaled(arrays.gradients, own, Math.min(1, exampleNorm / length(own)));
    return result;
  }

  update({ first, second, decayed, type }: Moments, n: UpdateNumbers): Promise<void> {
    const { model, arrays } = this.#source;
    const trained = model.rank > 0 ? arrays.adapters : arrays.parameters;
    const [own, other] = [momentsOf(first, type), momentsOf(second, type)];
    for (let i = 0; i < trained.length; i++) {
      const gradient = at(arrays.gradients, i) * n.scale;
      const mean = Math.fround(n.beta1 * own.get(i) + (1 - n.beta1) * gradient);
      const square = Math.fround(n.beta2 * other.get(i) + (1 - n.beta2) * gradient * gradient);
      own.set(i, mean);
      other.set(i, square);
      const step = mean / n.correction1 / (Math.sqrt(square / n.correction2) + n.epsilon);
      trained[i] = at(trained, i) * (1 - (i < decayed ? n.decay : 0)) - n.rate * step;
    }
    return Promise.resolve();
  }

  logits(tokens: Int32Array): Promise<Float32Array> {
    const all = this.#forward(tokens);
    return Promise.resolve(Float32Array.from(all.subarray(all.length - this.#source.model.vocabulary)));
  }

  #forward(tokens: Int32Array): Reals {
    const { model, arrays } = this.#source;
    return new ReferenceExample(model, { ...arrays, gradients: undefined }, tokens).forward();
  }
}

interface MomentValues {
  get(index: number): number;
  set(index: number, value: number): void;
}

function momentsOf(words: Float32Array, type: Moments["type"]): MomentValues {
  if (type === "f32") {
    const set = (i: number, value: number): void => {
      words[i] = value;
    };
    return { get: (i) => at(words, i), set };
  }
  const bits = new Uint16Array(words.buffer, words.byteOffset, 2 * words.length);
  const set = (i: number, value: number): void => {
    bits[i] = f32ToBf16Bits(value);
  };
  return { get: (i) => bf16ToF32(at(bits, i)), set };
}

function length(values: Reals): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}

function addScaled(to: Float32Array, from: Float32Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i] = at(to, i) + factor * at(from, i);
}
