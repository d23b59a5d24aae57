/** What a model costs a node that holds part of it: bytes held and read, and multiply-adds, for a given load. */

import { type KvFormat, kvVectorBytes, type WeightFormat } from "../../kernels/mod.ts";
import { attentionSegments, ffnSegments, type ModelDescription, residualSegments } from "../../model/mod.ts";
import { GROUP, scalesPerSegment } from "../../tensor/mod.ts";

/** Half of a layer: attention or feed-forward. All numbers are of one layer. */
export interface PartCosts {
  /** Into which it can be cut. */
  readonly segments: number;
  /** Of one segment. */
  readonly weightBytes: number;
  readonly multiplyAdds: number;
  readonly kvBytes: number;
  /** What every rank holds and reads, however it is cut. */
  readonly sharedWeightBytes: number;
  readonly sharedMultiplyAdds: number;
  readonly sharedKvBytes: number;
}

/** The load a plan is made for. */
export interface Load {
  /** Sequences that are decoded together. */
  readonly rows: number;
  /** Positions of each. */
  readonly context: number;
}

export interface ModelCosts {
  readonly name: string;
  readonly format: WeightFormat;
  readonly layers: number;
  readonly rows: number;
  readonly attention: PartCosts;
  readonly ffn: PartCosts;
  /** Looked up, not read: every rank of the first stage holds it. */
  readonly embeddingBytes: number;
  /** Held and read by the node that draws the tokens. */
  readonly outputBytes: number;
  readonly outputMultiplyAdds: number;
  /** Whether embedding and output are one matrix. */
  readonly tiedOutput: boolean;
  /** Of every node: table of rotations, norms. */
  readonly nodeBytes: number;
  /** One vector of the residual stream for each row. */
  readonly residualBytes: number;
  /** Token ids. */
  readonly tokenBytes: number;
}

export interface CostOptions extends Load {
  readonly format: WeightFormat;
  readonly kvFormat: KvFormat;
}

export function modelCosts(model: ModelDescription, options: CostOptions): ModelCosts {
  const { width, heads, kvHeads, headDim, ffnWidth, vocabulary } = model;
  const { format, rows, context } = options;
  const attention = attentionSegments(model);
  const ffn = ffnSegments(model);
  const residual = residualSegments(model);
  const matrix = (rows: number, columns: number, segments: number): number =>
    matrixBytes(format, { rows, columns, segments });
  const wide = (values: number): number => matrix(values, width, residual);
  const kv = 2 * kvHeads * headDim * width;
  // A single KV head is held by every rank: its groups are finer than heads.
  const kvSegments = kvHeads === 1 ? 0 : 1;
  const kvBytes = rows * context * kvHeads * kvVectorBytes(options.kvFormat, headDim);
  const perHead = heads * headDim;
  return {
    name: model.name,
    format,
    layers: model.layers,
    rows,
    attention: {
      segments: attention,
      weightBytes: Math.ceil(
        (wide(perHead) + matrix(width, perHead, attention) + kvSegments * wide(2 * kvHeads * headDim)) /
          attention,
      ),
      multiplyAdds: (2 * perHead * width + kvSegments * kv) / attention,
      kvBytes: Math.ceil((kvSegments * kvBytes) / attention),
      sharedWeightBytes: (1 - kvSegments) * wide(2 * kvHeads * headDim),
      sharedMultiplyAdds: (1 - kvSegments) * kv,
      sharedKvBytes: (1 - kvSegments) * kvBytes,
    },
    ffn: {
      segments: ffn,
      weightBytes: Math.ceil((wide(2 * ffnWidth) + matrix(width, ffnWidth, ffn)) / ffn),
      multiplyAdds: (3 * ffnWidth * width) / ffn,
      kvBytes: 0,
      sharedWeightBytes: 0,
      sharedMultiplyAdds: 0,
      sharedKvBytes: 0,
    },
    embeddingBytes: wide(vocabulary),
    outputBytes: wide(vocabulary),
    outputMultiplyAdds: vocabulary * width,
    tiedOutput: model.tiedOutput,
    nodeBytes: 4 * (context * headDim + (2 * model.layers + 1) * width),
    residualBytes: 4 * width * rows,
    tokenBytes: 4 * rows,
  };
}

interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
  /** Of the columns, each with scales of its own. */
  readonly segments: number;
}

/** As native/kernels/kernels.h packs it, but for the padding of rows: values, scales, multipliers of groups. */
function matrixBytes(format: WeightFormat, { rows, columns, segments }: MatrixShape): number {
  if (format === "f16") return rows * columns * 2;
  const scales = 4 * segments * scalesPerSegment(format, columns / segments);
  if (format === "i8") return rows * (columns + scales);
  return rows * (Math.ceil(columns / 2) + Math.ceil(columns / GROUP) + scales);
}
