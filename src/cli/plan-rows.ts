/** A plan's stages as rows for people. */

import type { Plan, PlanRank, PlanStage } from "../cluster/mod.ts";

export function stageRows({ stages }: Plan): [string, string][] {
  return stages.map((stage) => [`Layers ${stage.layers.join(" to ")}`, described(stage)]);
}

function described({ ranks }: PlanStage): string {
  const share = ({ node, attention, ffn }: PlanRank): string =>
    `${node} (attention ${attention.join(" to ")}, FFN ${ffn.join(" to ")})`;
  return ranks.length === 1 ? (ranks[0]?.node ?? "") : ranks.map(share).join(", ");
}
