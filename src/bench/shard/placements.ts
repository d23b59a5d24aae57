/** A model in two. */

import { at } from "../../base/mod.ts";
import type { WeightFormat } from "../../kernels/mod.ts";
import {
  compile,
  type ModelDescription,
  type Placement,
  proportionalPlacement,
  type RankProgram,
} from "../../model/mod.ts";

/** Side by side, halves of each layer. E_PLACEMENT. */
export function twoShards(model: ModelDescription): Placement {
  return proportionalPlacement(model, { stages: [1], shards: [1, 1] });
}

/** One after the other, with weights to multiply that are as equal as layers allow. E_PLACEMENT. */
export function twoStages(model: ModelDescription, format: WeightFormat): Placement {
  const cut = (first: number): Placement =>
    proportionalPlacement(model, { stages: [first, model.layers - first], shards: [1] });
  let best = cut(1);
  let least = Number.POSITIVE_INFINITY;
  for (let first = 1; first < model.layers; first++) {
    const ranks = compile(model, { format, placement: cut(first) });
    const most = Math.max(...ranks.map((rank, stage) => multiplied(rank, stage === 0)));
    if (most >= least) continue;
    least = most;
    best = cut(first);
  }
  return best;
}

/** Weights that a token is multiplied with. The first stage only looks rows of the embedding up. */
function multiplied({ matrices }: RankProgram, embeds: boolean): number {
  return matrices
    .filter(({ name }) => !(embeds && name === "token_embd.weight"))
    .reduce((sum, { rowRange, columns }) => sum + (rowRange[1] - at(rowRange, 0)) * columns, 0);
}
