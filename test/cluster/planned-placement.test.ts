/** What the planner plans can be compiled, and takes the memory that the planner said. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import {
  type ClusterDescription,
  modelCosts,
  type Planned,
  type PlanStage,
  placementOf,
  planCluster,
  rankNodes,
} from "../../src/cluster/mod.ts";
import { kvVectorBytes, type MatrixSpec } from "../../src/kernels/mod.ts";
import { compile, describePreset, type RankProgram } from "../../src/model/mod.ts";

const load = { rows: 2, context: 2048, format: "i8", kvFormat: "f16" } as const;
const presets = ["llama-tiny", "llama-135m", "llama-1b", "llama-8b", "llama-70b"] as const;

const magnitude = (least: number, most: number): fc.Arbitrary<number> =>
  fc.double({ min: Math.log10(least), max: Math.log10(most), noNaN: true }).map((power) => 10 ** power);

/** Nodes of which some hold the whole model, most a part of it. */
const clusters = (modelBytes: number): fc.Arbitrary<ClusterDescription> =>
  fc
    .array(
      fc.record({
        memory: magnitude(0.1, 1.5),
        bytesPerSecond: magnitude(5e9, 8e10),
        kvBytesPerSecond: magnitude(5e9, 4e10),
      }),
      { minLength: 1, maxLength: 5 },
    )
    .chain((nodes) =>
      fc
        .record({ latencySeconds: magnitude(1e-6, 1e-3), bytesPerSecond: magnitude(1e8, 1e10) })
        .map((network) => ({
          nodes: nodes.map(({ memory, bytesPerSecond, kvBytesPerSecond }, index) => ({
            name: `n${index}`,
            memoryBytes: Math.floor(memory * modelBytes),
            formats: { i8: { bytesPerSecond, multiplyAddsPerSecond: 10 * bytesPerSecond } },
            kvBytesPerSecond,
            layerSeconds: 1e-5,
          })),
          links: [],
          network,
        })),
    );

function planned(cluster: ClusterDescription, preset: (typeof presets)[number]): Planned | undefined {
  try {
    return planCluster(cluster, modelCosts(describePreset(preset), load));
  } catch (error) {
    if (error instanceof ClawError && error.code === "E_PLAN") return undefined;
    throw error;
  }
}

/** As `i8`: a byte for each weight, and a scale for every 64 of a row's segment. */
function matrixBytes({ rowRange, segmentRange, columns, segments }: MatrixSpec): number {
  const length = columns / segments;
  const rows = rowRange[1] - rowRange[0];
  return rows * (segmentRange[1] - segmentRange[0]) * (length + 4 * Math.ceil(length / 64));
}

function heldBytes({ matrices, kv }: RankProgram): number {
  const weights = matrices.reduce((sum, spec) => sum + matrixBytes(spec), 0);
  return weights + load.rows * load.context * kv.layers * kv.heads * kvVectorBytes(load.kvFormat, kv.headDim);
}

/** The nodes of a stage in the order of what they hold of a part. */
function orderOf({ ranks }: PlanStage, part: "attention" | "ffn"): string {
  return ranks
    .toSorted((a, b) => a[part][0] - b[part][0])
    .map(({ node }) => node)
    .join(" ");
}

test("every plan for a known model compiles, and no rank holds more than was planned", () => {
  const seen = { plans: 0, ranks: 0, split: 0, stages: 0, uneven: 0, crossed: 0, outputs: 0 };
  for (const preset of presets) {
    const model = describePreset(preset);
    const costs = modelCosts(model, load);
    const layer = costs.attention.segments * (costs.attention.weightBytes + costs.attention.kvBytes);
    const whole = costs.layers * (layer + costs.ffn.segments * costs.ffn.weightBytes) + costs.embeddingBytes;
    const property = fc.property(clusters(whole), (cluster) => {
      const found = planned(cluster, preset);
      if (found === undefined) return;
      const { plan, prediction } = found;
      const ranks = compile(model, { format: load.format, placement: placementOf(plan, model) });
      expect(prediction.ranks.map(({ node }) => node)).toEqual(rankNodes(plan));
      seen.plans++;
      for (const [index, rank] of ranks.entries()) {
        const { node, memoryBytes } = prediction.ranks[index] as (typeof prediction.ranks)[0];
        // Norms and the table of rotations are small change; a row or two of a matrix, too.
        expect(heldBytes(rank)).toBeLessThanOrEqual(memoryBytes * 1.002 + 4 * model.width * 2);
        const drawn = rank.logits === undefined ? 0 : rank.logits[1] - rank.logits[0];
        if (node === plan.output && drawn > model.vocabulary - ranks.length) seen.outputs++;
        seen.ranks++;
      }
      const shared = plan.stages.filter((stage) => stage.ranks.length > 1);
      if (shared.length > 0) seen.split++;
      if (plan.stages.length > 1) seen.stages++;
      if (shared.some((stage) => orderOf(stage, "attention") !== orderOf(stage, "ffn"))) seen.crossed++;
      if (shared.some((s) => new Set(s.ranks.map(({ ffn }) => ffn[1] - ffn[0])).size > 1)) seen.uneven++;
    });
    fc.assert(property, { numRuns: preset === "llama-70b" ? 5 : 30, seed: 3 });
  }
  expect(seen.plans).toBeGreaterThan(60);
  expect(seen.split).toBeGreaterThan(20);
  expect(seen.stages).toBeGreaterThan(20);
  expect(seen.uneven).toBeGreaterThan(5);
  expect(seen.crossed).toBeGreaterThan(2);
  expect(seen.outputs).toBe(seen.plans);
});
