/**
 * Compiles a model description to a step program: the flat tape a device runs for every step. Tensor parallelism is
 * part of compiling: each shard's operations work on its slice, and COMBINE joins their partial sums.
 */

import { at } from "../../base/mod.ts";
import { type BufferSpec, OP, type Program, type RowDomain, type WeightFormat } from "../../kernels/mod.ts";
import { maximalSubtrees, requireExactSums } from "../../tensor/mod.ts";
import {
  attentionSegments,
  ffnSegments,
  type ModelDescription,
  residualSegments,
} from "../architecture/mod.ts";
import { type LayerMatrix, type Shard, shardHeads } from "./weights.ts";

/** Ids of the loaded weights, as the device gave them. */
export interface WeightIds {
  readonly embedding: number;
  readonly output: number;
  readonly outputNorm: number;
  readonly ropeTable: number;
  readonly layers: readonly LayerWeights[];
}

export interface LayerWeights {
  readonly attentionNorm: number;
  readonly ffnNorm: number;
  /** One per shard. */
  readonly shards: readonly Readonly<Record<LayerMatrix, number>>[];
}

export interface CompileOptions {
  readonly format: WeightFormat;
  readonly shards: readonly Shard[];
  readonly weights: WeightIds;
}

/** The program of a model whose weights are loaded. */
export function compile(model: ModelDescription, options: CompileOptions): Program {
  const builder = new ProgramBuilder(model, options);
  const { weights } = options;
  const residual = builder.f32("residual", model.width);
  builder.emit(OP.EMBED, residual, weights.embedding);
  for (let layer = 0; layer < model.layers; layer++) {
    emitAttention(builder, layer, residual);
    emitFfn(builder, layer, residual);
  }
  const last = builder.f32("last residual", model.width, "outputs");
  const normed = builder.f32("last normed", model.width, "outputs");
  const logits = builder.f32("logits", model.vocabulary, "outputs");
  builder.emit(OP.GATHER, last, residual);
  builder.emit(OP.RMS_NORM, normed, last, weights.outputNorm, builder.epsilon);
  const input = builder.quantize(normed, residualSegments(model));
  builder.emit(OP.LINEAR, logits, input, weights.output);
  return builder.finish(logits);
}

function emitAttention(builder: ProgramBuilder, layer: number, residual: number): void {
  const { model, options } = builder;
  const { attentionNorm, shards } = at(options.weights.layers, layer);
  const input = emitNormed(builder, residual, attentionNorm);
  const inputs = options.shards.map((shard, rank) => {
    const { heads, kvHeads } = shardHeads(model, shard);
    const [queryCount, kvCount] = [heads[1] - heads[0], kvHeads[1] - kvHeads[0]];
    const weights = at(shards, rank);
    const q = builder.linear(`q${rank}`, input, { matrix: weights.q, width: queryCount * model.headDim });
    const k = builder.linear(`k${rank}`, input, { matrix: weights.k, width: kvCount * model.headDim });
    const v = builder.linear(`v${rank}`, input, { matrix: weights.v, width: kvCount * model.headDim });
    const pairs = model.rope.pairs === "halves" ? 1 : 0;
    builder.emit(OP.ROPE, q, options.weights.ropeTable, queryCount, model.headDim, pairs);
    builder.emit(OP.ROPE, k, options.weights.ropeTable, kvCount, model.headDim, pairs);
    builder.emit(OP.KV_WRITE, k, v, layer, kvHeads[0], kvCount);
    const out = builder.f32(`attention${rank}`, queryCount * model.headDim);
    builder.emit(OP.ATTENTION, out, q, layer, kvHeads[0], kvCount, queryCount, builder.scoreScale);
    return { buffer: out, matrix: weights.o, held: shard.attention };
  });
  emitReduced(builder, inputs, { segments: attentionSegments(model), residual });
}

function emitFfn(builder: ProgramBuilder, layer: number, residual: number): void {
  const { model, options } = builder;
  const { ffnNorm, shards } = at(options.weights.layers, layer);
  const input = emitNormed(builder, residual, ffnNorm);
  const segments = ffnSegments(model);
  const inputs = options.shards.map((shard, rank) => {
    const width = (model.ffnWidth / segments) * (shard.ffn[1] - shard.ffn[0]);
    const weights = at(shards, rank);
    const gate = builder.linear(`gate${rank}`, input, { matrix: weights.gate, width });
    const up = builder.linear(`up${rank}`, input, { matrix: weights.up, width });
    builder.emit(OP.SILU_MUL, gate, gate, up);
    return { buffer: gate, matrix: weights.down, held: shard.ffn };
  });
  emitReduced(builder, inputs, { segments, residual });
}

/** Norm and quantization in front of a layer's first matrices. */
function emitNormed(builder: ProgramBuilder, residual: number, gain: number): number {
  const normed = builder.f32("normed", builder.model.width);
  builder.emit(OP.RMS_NORM, normed, residual, gain, builder.epsilon);
  return builder.quantize(normed, residualSegments(builder.model));
}

interface ReducedInput {
  readonly buffer: number;
  readonly matrix: number;
  /** Segments of the whole input that this shard's buffer holds. */
  readonly held: readonly [number, number];
}

/** residual += the row-parallel product of the shards' buffers. */
function emitReduced(
  builder: ProgramBuilder,
  inputs: readonly ReducedInput[],
  { segments, residual }: { readonly segments: number; readonly residual: number },
): void {
  const { width } = builder.model;
  const out = builder.f32("projected", width);
  if (inputs.length === 1) {
    const { buffer, matrix } = at(inputs, 0);
    builder.emit(OP.LINEAR, out, builder.quantize(buffer, segments), matrix);
  } else {
    const partials = builder.f32(`partials of ${segments}`, segments * width);
    for (const { buffer, matrix, held } of inputs) {
      builder.emit(OP.LINEAR_PARTIAL, partials, builder.quantize(buffer, held[1] - held[0]), matrix);
    }
    const roots = inputs.flatMap(({ held }) => maximalSubtrees(segments, ...held));
    builder.emit(OP.COMBINE, out, partials, roots.length, ...roots.flat());
  }
  builder.emit(OP.ADD, residual, residual, out);
}

/** Collects buffers (one per name, reused by every layer) and the tape. */
class ProgramBuilder {
  readonly model: ModelDescription;
  readonly options: CompileOptions;
  readonly epsilon: number;
  /** 1 / sqrt(headDim). */
  readonly scoreScale: number;
  readonly #buffers: BufferSpec[] = [];
  readonly #byName = new Map<string, number>();
  readonly #tape: number[] = [];

  constructor(model: ModelDescription, options: CompileOptions) {
    this.model = model;
    this.options = options;
    this.epsilon = floatBits(model.normEpsilon);
    this.scoreScale = floatBits(1 / Math.sqrt(model.headDim));
  }

  emit(...operation: readonly number[]): void {
    this.#tape.push(...operation);
  }

  f32(name: string, width: number, domain: RowDomain = "tokens"): number {
    return this.#buffer({ kind: "f32", name, domain, width });
  }

  linear(name: string, input: number, { matrix, width }: { matrix: number; width: number }): number {
    const out = this.f32(name, width);
    this.emit(OP.LINEAR, out, input, matrix);
    return out;
  }

  /** The buffer a matrix reads: quantized for integer formats, the f32 buffer itself for f16. */
  quantize(source: number, segments: number): number {
    const { format } = this.options;
    if (format === "f16") return source;
    const { name, domain, width } = at(this.#buffers, source);
    requireExactSums(format, width / segments);
    const spec = { kind: "quantized", name: `${name} quantized`, domain, width, segments, format } as const;
    const out = this.#buffer(spec);
    this.emit(OP.QUANTIZE, out, source);
    return out;
  }

  finish(logits: number): Program {
    this.emit(OP.END);
    return { buffers: this.#buffers, tape: Int32Array.from(this.#tape), logits };
  }

  #buffer(spec: BufferSpec): number {
    const known = this.#byName.get(spec.name);
    if (known !== undefined) return known;
    const index = this.#buffers.push(spec) - 1;
    this.#byName.set(spec.name, index);
    return index;
  }
}

const pattern = new DataView(new ArrayBuffer(4));

/** The bit pattern of a number rounded to f32, as the tape carries it. */
function floatBits(value: number): number {
  pattern.setFloat32(0, value);
  return pattern.getInt32(0);
}
