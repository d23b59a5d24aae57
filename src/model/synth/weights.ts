/**
 * The tensors of a random Llama, in llama.cpp's names. Deviations keep the residual stream's variance near that of
 * a trained model from end to end, and give the logits a deviation of about 2.5: neither flat nor all on one token.
 */

import { exactExp, exactLog } from "../../base/mod.ts";
import { type SourceType, sourceByteLength } from "../../tensor/mod.ts";
import type { TensorContent } from "../gguf/mod.ts";
import { Generator } from "./generator.ts";
import { type MatrixPlan, matrixChunks } from "./matrix.ts";
import { effectiveFanIn, type OutlierPlan, readingScales } from "./outliers.ts";
import { type Pool, poolOf } from "./pool.ts";
import type { ModelShape, RopeScaling } from "./presets.ts";

export interface WeightOptions {
  readonly shape: ModelShape;
  /** The type of the matrices; vectors are F32. */
  readonly type: SourceType;
  readonly seed: number;
  readonly outliers: OutlierPlan;
  /** Whether all layers are the bytes of the first one. */
  readonly sharedLayers: boolean;
}

/**
 * The layers together add about a quarter to this variance: context shows in the logits, yet rounding errors are
 * not amplified from layer to layer as they are in random networks with small embeddings.
 */
const EMBEDDING_DEVIATION = 1;
const LOGIT_DEVIATION = 2.5;
/** How far norm gains scatter around 1. */
const GAIN_DEVIATION = 0.1;
/** The streams of tensors begin here; those below are the pool's and the outliers'. */
const TENSOR_STREAM = 16;

/** The tensors in the order of the file; their data are made when asked for. */
export function weightTensors(options: WeightOptions): TensorContent[] {
  const { shape } = options;
  const builder = new TensorBuilder(options);
  builder.matrix("token_embd.weight", {
    rows: shape.vocabulary,
    width: shape.width,
    deviation: EMBEDDING_DEVIATION,
  });
  addOutput(builder, shape);
  if (shape.ropeScaling) builder.vector("rope_freqs.weight", ropeFactors(shape, shape.ropeScaling));
  const drawn = options.sharedLayers ? 1 : shape.layers;
  for (let layer = 0; layer < drawn; layer++) {
    addAttention(builder, `blk.${layer}`, options);
    addFeedForward(builder, `blk.${layer}`, options);
  }
  return [...builder.tensors, ...repeatedLayers(builder.tensors, drawn, shape.layers)];
}

const FIRST_LAYER = "blk.0.";

/** The tensors of layers `first` to `end` - 1, all of them the first layer's bytes. */
function repeatedLayers(tensors: readonly TensorContent[], first: number, end: number): TensorContent[] {
  const layer = tensors.filter(({ name }) => name.startsWith(FIRST_LAYER));
  return Array.from({ length: end - first }, (_, i) =>
    layer.map((tensor) => {
      const name = `blk.${first + i}.${tensor.name.slice(FIRST_LAYER.length)}`;
      return { ...tensor, name, sameAs: tensor.name };
    }),
  ).flat();
}

/**
 * The last norm and, unless the embedding serves, the output matrix. With a tied embedding the gains alternate in
 * sign: otherwise a token's own embedding, still present in the residual stream, would always win.
 */
function addOutput(builder: TensorBuilder, shape: ModelShape): void {
  const unit = LOGIT_DEVIATION / Math.sqrt(shape.width);
  if (!shape.tied) {
    builder.vector("output_norm.weight", builder.gains(shape.width));
    builder.matrix("output.weight", { rows: shape.vocabulary, width: shape.width, deviation: unit });
    return;
  }
  const gain = unit / EMBEDDING_DEVIATION;
  const gains = builder.gains(shape.width).map((value, i) => value * (i % 2 === 0 ? gain : -gain));
  builder.vector("output_norm.weight", gains);
}

function addAttention(builder: TensorBuilder, block: string, options: WeightOptions): void {
  const { shape, outliers } = options;
  const heads = shape.heads * shape.headWidth;
  const keyValues = shape.keyValueHeads * shape.headWidth;
  const reading = readingPlan(shape.width, outliers.residual);
  builder.vector(`${block}.attn_norm.weight`, builder.gains(shape.width, outliers.residual));
  builder.matrix(`${block}.attn_q.weight`, { ...reading, rows: heads });
  builder.matrix(`${block}.attn_k.weight`, { ...reading, rows: keyValues });
  builder.matrix(`${block}.attn_v.weight`, { ...reading, rows: keyValues });
  builder.matrix(`${block}.attn_output.weight`, {
    rows: shape.width,
    width: heads,
    deviation: residualScale(shape) / Math.sqrt(heads),
  });
}

function addFeedForward(builder: TensorBuilder, block: string, options: WeightOptions): void {
  const { shape, outliers } = options;
  const reading = readingPlan(shape.width, outliers.residual);
  const down = readingPlan(shape.feedForward, outliers.feedForward);
  builder.vector(`${block}.ffn_norm.weight`, builder.gains(shape.width, outliers.residual));
  builder.matrix(`${block}.ffn_gate.weight`, { ...reading, rows: shape.feedForward });
  builder.matrix(`${block}.ffn_up.weight`, {
    ...reading,
    rows: shape.feedForward,
    rowScales: outliers.feedForward,
  });
  builder.matrix(`${block}.ffn_down.weight`, {
    ...down,
    rows: shape.width,
    deviation: down.deviation * residualScale(shape),
  });
}

/** The part of a plan that follows from a matrix's input, its outlier channels included. */
function readingPlan(width: number, channels: ReadonlyMap<number, number>): Omit<MatrixPlan, "rows"> {
  return {
    width,
    deviation: 1 / Math.sqrt(effectiveFanIn(width, channels)),
    columnScales: readingScales(channels),
  };
}

/** Each layer writes twice to the residual stream; together the writes have about unit variance. */
function residualScale(shape: ModelShape): number {
  return 1 / Math.sqrt(2 * shape.layers);
}

/** The divisor of each RoPE frequency: 1 for short wavelengths, the factor for long ones, between them a ramp. */
function ropeFactors(shape: ModelShape, scaling: RopeScaling): Float32Array {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalContext } = scaling;
  const logBase = exactLog(shape.ropeBase);
  return Float32Array.from({ length: shape.headWidth / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * exactExp((2 * i * logBase) / shape.headWidth);
    const turns = originalContext / wavelength;
    if (turns > highFrequencyFactor) return 1;
    if (turns < lowFrequencyFactor) return factor;
    const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

class TensorBuilder {
  readonly tensors: TensorContent[] = [];
  readonly #options: WeightOptions;
  readonly #pool: Pool;
  #streams = TENSOR_STREAM;

  constructor(options: WeightOptions) {
    this.#options = options;
    this.#pool = poolOf(options.seed);
  }

  matrix(name: string, plan: MatrixPlan): void {
    const { type, seed } = this.#options;
    const source = { pool: this.#pool, type, seed, stream: this.#nextStream() };
    this.tensors.push({ name, type, shape: [plan.width, plan.rows], data: () => matrixChunks(plan, source) });
  }

  vector(name: string, values: Float32Array): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, sourceByteLength("F32", values.length));
    this.tensors.push({ name, type: "F32", shape: [values.length], data: () => [bytes] });
  }

  /** Norm gains around 1, except those given. */
  gains(width: number, fixed: ReadonlyMap<number, number> = new Map()): Float32Array {
    const generator = new Generator(this.#options.seed, this.#nextStream());
    const gains = Float32Array.from({ length: width }, () => 1 + GAIN_DEVIATION * generator.gaussian());
    for (const [channel, gain] of fixed) gains[channel] = gain;
    return gains;
  }

  /** A stream for one tensor. */
  #nextStream(): number {
    return this.#streams++;
  }
}
