/** Random placements of a model, and what is particular about them. */

import { attentionSegments, ffnSegments } from "../../src/model/architecture/mod.ts";
import type { ModelDescription, Placement, Shard, Stage } from "../../src/model/mod.ts";
import { maximalSubtrees } from "../../src/tensor/mod.ts";
import type { Random } from "../kernels/random.ts";

export const STAGES_MAX = 4;
export const DEGREE_MAX = 8;

/** How many ways each stage may be split. */
export function degreeMost(model: ModelDescription): number {
  return Math.min(DEGREE_MAX, attentionSegments(model), ffnSegments(model), model.vocabulary);
}

/** Any number of stages that the layers allow, each split in its own way into uneven parts. */
export function randomPlacement(model: ModelDescription, random: Random): Placement {
  const stages = random.between(1, Math.min(STAGES_MAX, model.layers));
  const alike = random.chance(2) ? random.between(1, degreeMost(model)) : undefined;
  return {
    stages: randomRanges(model.layers, stages, random).map((layers): Stage => {
      const degree = alike ?? random.between(1, degreeMost(model));
      return { layers, shards: randomShards(model, degree, random) };
    }),
  };
}

export function randomShards(model: ModelDescription, degree: number, random: Random): Shard[] {
  // Half of them in orders of their own, such as the planner may choose.
  const shuffle = random.chance(2);
  const ranges = (count: number): (readonly [number, number])[] => {
    const inOrder = randomRanges(count, degree, random);
    return shuffle ? random.shuffled(degree).map((place) => inOrder[place] as (typeof inOrder)[0]) : inOrder;
  };
  const attention = ranges(attentionSegments(model));
  const ffn = ranges(ffnSegments(model));
  const vocabulary = ranges(model.vocabulary);
  return attention.map((range, i) => ({
    attention: range,
    ffn: ffn[i] as Shard["ffn"],
    vocabulary: vocabulary[i] as Shard["vocabulary"],
  }));
}

/** Cuts [0, count) at random into `parts` ranges, none of them empty. */
function randomRanges(count: number, parts: number, random: Random): (readonly [number, number])[] {
  const cuts = random
    .shuffled(count - 1)
    .slice(0, parts - 1)
    .map((cut) => cut + 1)
    .sort((a, b) => a - b);
  const edges = [0, ...cuts, count];
  return edges.slice(1).map((end, i) => [edges[i] as number, end] as const);
}

export interface Traits {
  /** Shards of a stage hold different numbers of segments. */
  readonly uneven: boolean;
  /** Several stages, one of them split. */
  readonly combined: boolean;
  /** Stages are split into different numbers of shards. */
  readonly unlikeStages: boolean;
  /** Shards that hold attention and FFN in different orders. */
  readonly crossed: boolean;
  /** Shards that send more than one root. */
  readonly severalRoots: boolean;
  /** Shards of a stage hold the same KV head. */
  readonly sharedKvHead: boolean;
  readonly degree: number;
  readonly stages: number;
}

export function traitsOf(model: ModelDescription, { stages }: Placement): Traits {
  const lengths = (shards: readonly Shard[], part: "attention" | "ffn"): Set<number> =>
    new Set(shards.map((shard) => shard[part][1] - shard[part][0]));
  const degrees = stages.map(({ shards }) => shards.length);
  const degree = Math.max(...degrees);
  return {
    uneven: stages.some(
      ({ shards }) => lengths(shards, "attention").size > 1 || lengths(shards, "ffn").size > 1,
    ),
    combined: stages.length > 1 && degree > 1,
    crossed: stages.some(({ shards }) => orderOf(shards, "attention") !== orderOf(shards, "ffn")),
    unlikeStages: new Set(degrees).size > 1,
    severalRoots: stages.some(({ shards }) =>
      shards.some(({ ffn }) => maximalSubtrees(ffnSegments(model), ...ffn).length > 1),
    ),
    sharedKvHead: model.kvHeads === 1 && degree > 1,
    degree,
    stages: stages.length,
  };
}

/** The numbers of a stage's shards in the order of what they hold of a part. */
function orderOf(shards: readonly Shard[], part: "attention" | "ffn"): string {
  return shards
    .map((shard, number) => ({ first: shard[part][0], number }))
    .sort((a, b) => a.first - b.first)
    .map(({ number }) => number)
    .join(" ");
}
