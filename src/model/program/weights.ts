/** Which tensors a model has, what shape each must have, and which slice of it a shard holds. */

import type { MatrixSpec, WeightFormat } from "../../kernels/mod.ts";
import {
  attentionSegments,
  ffnSegments,
  type ModelDescription,
  residualSegments,
} from "../architecture/mod.ts";

/** The part of a stage that a tensor-parallel shard holds. Every range is [first, end) and not empty. */
export interface Shard {
  /** Segments of the attention output, and with them their query and KV heads. */
  readonly attention: readonly [number, number];
  /** Segments of the FFN's hidden width. */
  readonly ffn: readonly [number, number];
  /** Rows of the embedding and of the output matrix, where the stage has them. */
  readonly vocabulary: readonly [number, number];
}

/** Query and KV heads of a shard. */
export interface HeadRange {
  readonly heads: readonly [number, number];
  readonly kvHeads: readonly [number, number];
}

export const EMBEDDING = "token_embd.weight";
export const OUTPUT = "output.weight";
export const OUTPUT_NORM = "output_norm.weight";

/** The heads whose outputs fill a range of attention segments. */
export function shardHeads(model: ModelDescription, shard: Shard): HeadRange {
  const perSegment = model.heads / attentionSegments(model);
  const perKv = model.heads / model.kvHeads;
  const heads = [shard.attention[0] * perSegment, shard.attention[1] * perSegment] as const;
  // Where segments are finer than KV groups, the KV heads they share are held by both shards.
  return { heads, kvHeads: [Math.floor(heads[0] / perKv), Math.ceil(heads[1] / perKv)] };
}

export type LayerMatrix = "q" | "k" | "v" | "o" | "gate" | "up" | "down";

const suffixes: Readonly<Record<LayerMatrix, string>> = {
  q: "attn_q",
  k: "attn_k",
  v: "attn_v",
  o: "attn_output",
  gate: "ffn_gate",
  up: "ffn_up",
  down: "ffn_down",
};

export const layerMatrices: readonly LayerMatrix[] = ["q", "k", "v", "o", "gate", "up", "down"];

export function layerTensor(layer: number, name: LayerMatrix): string {
  return `blk.${layer}.${suffixes[name]}.weight`;
}

export function attentionNorm(layer: number): string {
  return `blk.${layer}.attn_norm.weight`;
}

export function ffnNorm(layer: number): string {
  return `blk.${layer}.ffn_norm.weight`;
}

/** Rows of the embedding or the output matrix. */
export function vocabularyMatrix(
  model: ModelDescription,
  { name, rowRange, format }: Pick<MatrixSpec, "name" | "rowRange" | "format">,
): MatrixSpec {
  const segments = residualSegments(model);
  const { vocabulary: rows, width: columns } = model;
  return { name, format, rows, columns, segments, rowRange, segmentRange: [0, segments] };
}

/** Outputs and inputs of a layer's matrix. */
export function linearShape(
  { heads, kvHeads, headDim, width, ffnWidth }: ModelDescription,
  name: LayerMatrix,
): { readonly rows: number; readonly columns: number } {
  const shapes: Readonly<Record<LayerMatrix, readonly [rows: number, columns: number]>> = {
    q: [heads * headDim, width],
    k: [kvHeads * headDim, width],
    v: [kvHeads * headDim, width],
    o: [width, heads * headDim],
    gate: [ffnWidth, width],
    up: [ffnWidth, width],
    down: [width, ffnWidth],
  };
  const [rows, columns] = shapes[name];
  return { rows, columns };
}

/** A layer's matrix as one shard holds it: `q k v gate up` by rows, `o down` by segments. */
export function layerMatrix(
  model: ModelDescription,
  { layer, name, shard, format }: { layer: number; name: LayerMatrix; shard: Shard; format: WeightFormat },
): MatrixSpec {
  const { heads, kvHeads } = shardHeads(model, shard);
  const { headDim, ffnWidth } = model;
  const common = { name: layerTensor(layer, name), format, ...linearShape(model, name) };
  const byRows = (rowRange: readonly [number, number]): MatrixSpec => {
    const segments = residualSegments(model);
    return { ...common, segments, rowRange, segmentRange: [0, segments] };
  };
  const bySegments = (segments: number, held: readonly [number, number]): MatrixSpec => {
    return { ...common, segments, rowRange: [0, common.rows], segmentRange: held };
  };
  const ffnLength = ffnWidth / ffnSegments(model);
  const ffnRange = [shard.ffn[0] * ffnLength, shard.ffn[1] * ffnLength] as const;
  switch (name) {
    case "q":
      return byRows([heads[0] * headDim, heads[1] * headDim]);
    case "k":
    case "v":
      return byRows([kvHeads[0] * headDim, kvHeads[1] * headDim]);
    case "o":
      return bySegments(attentionSegments(model), shard.attention);
    case "gate":
    case "up":
      return byRows(ffnRange);
    default:
      return bySegments(ffnSegments(model), shard.ffn);
  }
}
