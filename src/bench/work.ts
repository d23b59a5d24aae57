/** What a model costs: bytes of weights a step reads, multiply-adds of a row. */

import type { WeightFormat } from "../kernels/mod.ts";
import { type ModelDescription, modelMatrices } from "../model/mod.ts";

export interface ModelWork {
  /** Multiply-adds of a token row, without the output matrix. */
  readonly rowMacs: number;
  /** Those of a row with logits, in the output matrix. */
  readonly outputMacs: number;
  /** The part of all weights that a step reads: an embedding of its own is only looked up. */
  readonly readFraction: number;
}

export function modelWork(model: ModelDescription, format: WeightFormat): ModelWork {
  const macs = (output: boolean): number =>
    modelMatrices(model, format)
      .filter((use) => use.output === output)
      .reduce((sum, { spec, count }) => sum + count * spec.rows * spec.columns, 0);
  const [rowMacs, outputMacs] = [macs(false), macs(true)];
  const lookedUp = model.tiedOutput ? 0 : model.vocabulary * model.width;
  const read = rowMacs + outputMacs;
  return { rowMacs, outputMacs, readFraction: read / (read + lookedUp) };
}
