import type { TrainingDevice, TrainingOptions } from "../../src/kernels/mod.ts";
import { Generator, type ModelDescription, ropeTable } from "../../src/model/mod.ts";
import { initialAdapters, initialParameters } from "../../src/train/initial.ts";
import { type AdapterShape, adapterLayout, parameterLayout, trainingModel } from "../../src/train/layout.ts";

/** Widths that are no multiples of the vectors', and heads that share. */
export const tiny: ModelDescription = {
  architecture: "llama",
  name: "tiny",
  layers: 2,
  width: 40,
  heads: 4,
  kvHeads: 2,
  headDim: 10,
  ffnWidth: 52,
  vocabulary: 61,
  context: 96,
  normEpsilon: Math.fround(1e-5),
  rope: { pairs: "adjacent", base: 10_000, positionDivisor: 1, frequencyDivisors: undefined },
  tiedOutput: true,
};

export const plain: TrainingOptions = { lanes: 3, clipsExamples: false, recompute: false };

/** Parameters far enough from where training begins that every gradient is sizeable. */
export function someParameters(description: ModelDescription): Float32Array {
  const generator = new Generator(7, 0);
  const { decayed } = parameterLayout(description);
  return initialParameters(description, 1).map((value, i) =>
    i < decayed
      ? value + 0.3 * generator.gaussian() * (i < description.vocabulary * description.width ? 1 : 0.2)
      : value + 0.1 * generator.gaussian(),
  );
}

export interface Opened {
  readonly trainer: ReturnType<TrainingDevice["open"]>;
  readonly parameters: Float32Array;
  readonly adapters: Float32Array;
  readonly gradients: Float32Array;
}

/** A model on a device; with adapters whose B is not zero, where a shape is given. */
export function open(
  device: TrainingDevice,
  options: Partial<TrainingOptions> & {
    readonly adapter?: AdapterShape;
    readonly description?: ModelDescription;
  } = {},
): Opened {
  const { adapter, description = tiny } = options;
  const parameters = someParameters(description);
  const generator = new Generator(9, 0);
  const adapters =
    adapter === undefined
      ? new Float32Array(0)
      : initialAdapters(description, adapter, 3).map((value) => value + 0.1 * generator.gaussian());
  const count = adapter === undefined ? parameters.length : adapterLayout(description, adapter).count;
  const gradients = new Float32Array(count);
  const model = trainingModel(description, description.context, adapter);
  const rope = ropeTable(description, description.context);
  const arrays = { parameters, adapters, gradients, rope };
  return {
    trainer: device.open({ model, arrays, options: { ...plain, ...options } }),
    parameters,
    adapters,
    gradients,
  };
}

/** `count` examples of `length` random tokens, a tenth of whose targets are none. */
export function someExamples(
  count: number,
  length: number,
  vocabulary: number = tiny.vocabulary,
): Int32Array {
  const generator = new Generator(count, length);
  return Int32Array.from({ length: 2 * count * length }, (_, i) => {
    const token = generator.below(vocabulary);
    return Math.floor(i / length) % 2 === 1 && generator.uniform() < 0.1 ? -1 : token;
  });
}
