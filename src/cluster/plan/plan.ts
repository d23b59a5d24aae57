/** A plan as plain data: which layers and which segments of them live where. */

import type { WeightFormat } from "../../kernels/mod.ts";

/** From the first to before the end. */
export type Range = readonly [first: number, end: number];

/** What one node holds of every layer of its stage. */
export interface PlanRank {
  readonly node: string;
  /** Segments of attention, and of the feed-forward part. */
  readonly attention: Range;
  readonly ffn: Range;
}

/** Layers that one group of nodes computes together. */
export interface PlanStage {
  readonly layers: Range;
  readonly ranks: readonly PlanRank[];
}

export interface Plan {
  readonly model: string;
  readonly format: WeightFormat;
  /** In the order of the layers. */
  readonly stages: readonly PlanStage[];
  /** The node of the last stage that holds the output matrix and draws the tokens. */
  readonly output: string;
}
