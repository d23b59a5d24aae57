/** A plan as what programs are compiled for: the planner knows nodes, the compiler ranks. */

import { assert } from "../../base/mod.ts";
import type { ModelDescription, Placement, Stage } from "../../model/mod.ts";
import type { Plan, PlanStage, Range } from "./plan.ts";

/** The node of each rank, in the order of the ranks of `placementOf`. */
export function rankNodes({ stages }: Plan): string[] {
  return stages.flatMap(({ ranks }) => ranks.map(({ node }) => node));
}

/** Where a plan puts the parts of a model; E_PLACEMENT comes from compiling, where it is a plan for another model. */
export function placementOf(plan: Plan, model: Pick<ModelDescription, "vocabulary">): Placement {
  const last = plan.stages.length - 1;
  return {
    stages: plan.stages.map((stage, index): Stage => {
      const { layers, ranks } = stage;
      // Before the last stage tokens are looked up at most; the plan has room for all of them on every rank.
      const output = index === last ? plan.output : undefined;
      const vocabulary = vocabularyRanges(stage, output, model.vocabulary);
      return {
        layers,
        shards: ranks.map(({ attention, ffn }, rank) => {
          return { attention, ffn, vocabulary: vocabulary[rank] as Range };
        }),
      };
    }),
  };
}

/** By rank: even ones, or all but a token of each other rank for the node that draws the tokens. */
function vocabularyRanges({ ranks }: PlanStage, output: string | undefined, vocabulary: number): Range[] {
  assert(ranks.length <= vocabulary, "Every rank has a token of the vocabulary.");
  const weights = ranks.map(({ node }) => (output === undefined ? 1 : Number(node === output)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  assert(total > 0, `The node ${output} that draws the tokens has no rank in the last stage.`);
  const shared = vocabulary - ranks.length;
  let sum = 0;
  let first = 0;
  return weights.map((weight, rank) => {
    sum += weight;
    const end = rank + 1 + Math.floor((shared * sum) / total);
    const range = [first, end] as const;
    first = end;
    return range;
  });
}
