/** What a plan comes to: seconds, messages and memory, each with its parts. */

import { assert, at } from "../../base/mod.ts";
import {
  dutyBytes,
  exchangeSeconds,
  hopSeconds,
  layerBytes,
  outputSeconds,
  partSeconds,
  rootsOf,
} from "./cost.ts";
import type { Machines } from "./machine.ts";
import type { ModelCosts, PartCosts } from "./model-costs.ts";
import type { Plan, PlanRank, PlanStage, Range } from "./plan.ts";

export interface RankPrediction {
  readonly node: string;
  readonly memoryBytes: number;
  /** Of what the node has. */
  readonly memoryBytesMax: number;
}

export interface Prediction {
  /** One step gives every sequence a token. */
  readonly secondsPerToken: number;
  /** Of all sequences. */
  readonly tokensPerSecond: number;
  /** The parts of `secondsPerToken`. */
  readonly computeSeconds: number;
  readonly outputSeconds: number;
  readonly exchangeSeconds: number;
  readonly hopSeconds: number;
  /** Times a step waits for a message: exchanges, hops between stages, and the token's way back. */
  readonly messageWaits: number;
  /** Of all sequences, where so many steps are under way that every stage is busy. */
  readonly pipelineTokensPerSecond: number;
  readonly ranks: readonly RankPrediction[];
}

interface StageSeconds {
  readonly compute: number;
  readonly exchange: number;
}

export function predict(plan: Plan, machines: Machines, costs: ModelCosts): Prediction {
  const stages = plan.stages.map((stage) => stageSeconds(stage, machines, costs));
  const output = outputSeconds(machines.at(indexOf(machines, plan.output)), costs);
  const hops = hopList(plan, machines, costs);
  const computeSeconds = sum(stages.map(({ compute }) => compute));
  const exchange = sum(stages.map((stage) => stage.exchange));
  const hop = sum(hops);
  const secondsPerToken = computeSeconds + output + exchange + hop;
  const busiest = stages.map(({ compute, exchange: between }, index) => {
    return compute + between + (index === stages.length - 1 ? output : 0);
  });
  const split = plan.stages.filter(({ ranks }) => ranks.length > 1);
  return {
    secondsPerToken,
    tokensPerSecond: costs.rows / secondsPerToken,
    computeSeconds,
    outputSeconds: output,
    exchangeSeconds: exchange,
    hopSeconds: hop,
    messageWaits: 2 * sum(split.map(({ layers }) => length(layers))) + hops.filter((s) => s > 0).length,
    pipelineTokensPerSecond: costs.rows / Math.max(...busiest),
    ranks: plan.stages.flatMap((stage, index) => {
      return stage.ranks.map((rank) => {
        const duties = { first: index === 0, output: rank.node === plan.output };
        const { name: node, memoryBytes: memoryBytesMax } = machines.at(indexOf(machines, rank.node));
        return {
          node,
          memoryBytes: length(stage.layers) * rankLayerBytes(rank, costs) + dutyBytes(costs, duties),
          memoryBytesMax,
        };
      });
    }),
  };
}

function stageSeconds({ layers, ranks }: PlanStage, machines: Machines, costs: ModelCosts): StageSeconds {
  const nodes = ranks.map(({ node }) => indexOf(machines, node));
  const half = (part: PartCosts, ranges: readonly Range[]): StageSeconds => {
    const seconds = ranges.map((range, rank) => {
      const held = { segments: length(range), rows: costs.rows };
      return partSeconds(machines.at(at(nodes, rank)), part, held);
    });
    const roots = ranges.map((range) => rootsOf(part.segments, range));
    const { residualBytes } = costs;
    return {
      compute: Math.max(...seconds),
      exchange: exchangeSeconds(machines, nodes, { roots, residualBytes }),
    };
  };
  const attention = half(
    costs.attention,
    ranks.map((rank) => rank.attention),
  );
  const ffn = half(
    costs.ffn,
    ranks.map((rank) => rank.ffn),
  );
  return {
    compute: length(layers) * (attention.compute + ffn.compute),
    exchange: length(layers) * (attention.exchange + ffn.exchange),
  };
}

/** From stage to stage, then from who draws the tokens to the first. */
function hopList({ stages, output }: Plan, machines: Machines, costs: ModelCosts): number[] {
  const nodesOf = (stage: PlanStage): number[] => stage.ranks.map(({ node }) => indexOf(machines, node));
  const between = stages.slice(1).map((stage, index) => {
    const way = { from: nodesOf(at(stages, index)), to: nodesOf(stage) };
    return hopSeconds(machines, way, costs.residualBytes);
  });
  const back = { from: [indexOf(machines, output)], to: nodesOf(at(stages, 0)) };
  return [...between, hopSeconds(machines, back, costs.tokenBytes)];
}

function rankLayerBytes({ attention, ffn }: PlanRank, costs: ModelCosts): number {
  return layerBytes(costs, { attention: length(attention), ffn: length(ffn) });
}

function indexOf(machines: Machines, name: string): number {
  const index = machines.indexOf(name);
  assert(index !== -1, `The plan names ${name}, which is no node that can take part.`);
  return index;
}

function length([first, end]: Range): number {
  return end - first;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
