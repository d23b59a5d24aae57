/** Updates of a model in the shape of tales on random tokens, to measure how fast they are. */

import type { TrainingDevice } from "../kernels/mod.ts";
import { Generator } from "../model/mod.ts";
import { describeModel } from "./config.ts";
import { initialParameters } from "./initial.ts";
import { Learner } from "./learner.ts";

const SHAPE = {
  layers: 6,
  width: 256,
  heads: 4,
  kvHeads: 2,
  headDim: 64,
  ffnWidth: 704,
  context: 512,
} as const;
const VOCABULARY = 4096;
const BATCH = 8;
const RATE = 1e-4;
const OPTIMIZER = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, clip: 1, exampleClip: 0 } as const;

export class Exercise {
  /** Places of an update. */
  readonly tokens: number = BATCH * SHAPE.context;
  readonly parameters: number;
  /** Of those, the ones in matrices. */
  readonly matrixValues: number;
  readonly #learner: Learner;
  readonly #examples: Int32Array;
  #step = 0;

  constructor(device: TrainingDevice) {
    const config = { name: "exercise", ...SHAPE, ropeBase: 10_000, normEpsilon: 1e-5 };
    const description = describeModel(config, VOCABULARY);
    const parameters = initialParameters(description, 1);
    const { context } = SHAPE;
    const parts = { device, description, context, parameters, optimizer: OPTIMIZER };
    this.#learner = new Learner({ ...parts, lanes: 4, recompute: false });
    this.parameters = this.#learner.layout.count;
    this.matrixValues = this.#learner.layout.decayed;
    const generator = new Generator(1, 0);
    this.#examples = Int32Array.from({ length: 2 * this.tokens }, () => generator.below(VOCABULARY));
  }

  /** What a checkpoint of it holds. */
  get state(): ReadonlyMap<string, Float32Array> {
    return this.#learner.state;
  }

  async update(): Promise<void> {
    const examples = { values: this.#examples, length: SHAPE.context, targets: this.tokens };
    await this.#learner.step(examples, this.#step++, RATE);
  }
}
