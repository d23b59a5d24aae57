/**
 * A model architecture as data: what the compiler needs to know, and nothing about how a device computes it. A new
 * architecture is a reader that fills this record, not a class.
 */

import { segmentCount } from "../../tensor/mod.ts";

/** Which values a rotary embedding rotates together. */
export type RopePairs = "adjacent" | "halves";

export interface RopeDescription {
  readonly pairs: RopePairs;
  /** Base of the frequencies, `theta`. */
  readonly base: number;
  /** Positions are divided by this (linear scaling); 1 for none. */
  readonly positionDivisor: number;
  /** Divisor of each frequency (Llama 3 scaling), [headDim / 2]; undefined for none. */
  readonly frequencyDivisors: Float32Array | undefined;
}

export interface ModelDescription {
  /** `general.architecture` of the file. */
  readonly architecture: string;
  /** `general.name`, or the architecture where the file has none. */
  readonly name: string;
  readonly layers: number;
  /** Residual width. */
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly vocabulary: number;
  /** Positions the model was made for. */
  readonly context: number;
  readonly normEpsilon: number;
  readonly rope: RopeDescription;
  /** Whether the output matrix is the embedding matrix. */
  readonly tiedOutput: boolean;
}

/** Segments of inputs of the residual width: never split between shards. */
export function residualSegments(model: ModelDescription): number {
  return segmentCount(model.width);
}

/** Segments of the attention output: whole groups of the query heads that share a KV head (or heads, if all do). */
export function attentionSegments(model: ModelDescription): number {
  const width = model.heads * model.headDim;
  return segmentCount(width, model.kvHeads === 1 ? model.headDim : width / model.kvHeads);
}

/** Segments of the FFN's hidden width. */
export function ffnSegments(model: ModelDescription): number {
  return segmentCount(model.ffnWidth);
}
