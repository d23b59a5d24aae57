/** The matrices that a step multiplies by, without loading them: for measurements. */

import { at } from "../../base/mod.ts";
import type { MatrixSpec, WeightFormat } from "../../kernels/mod.ts";
import type { ModelDescription } from "../architecture/mod.ts";
import { evenShards } from "./placement.ts";
import { EMBEDDING, layerMatrices, layerMatrix, OUTPUT, vocabularyMatrix } from "./weights.ts";

export interface MatrixUse {
  /** The first such matrix; its name is that of a tensor in the file. */
  readonly spec: MatrixSpec;
  /** Matrices of this kind in the model. */
  readonly count: number;
  /** Whether only the rows with logits go through it. */
  readonly output: boolean;
}

/** One of each kind: those of the layers, then the output matrix. */
export function modelMatrices(model: ModelDescription, format: WeightFormat): MatrixUse[] {
  const shard = at(evenShards(model, 1), 0);
  const layers = layerMatrices.map((name) => {
    return {
      spec: layerMatrix(model, { layer: 0, name, shard, format }),
      count: model.layers,
      output: false,
    };
  });
  const name = model.tiedOutput ? EMBEDDING : OUTPUT;
  const output = vocabularyMatrix(model, { name, format, rowRange: shard.vocabulary });
  return [...layers, { spec: output, count: 1, output: true }];
}
