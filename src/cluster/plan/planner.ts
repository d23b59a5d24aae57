/** The planner: from measured nodes and links and a model's costs to the split with the fewest seconds per token. */

import { assert, ClawError } from "../../base/mod.ts";
import { dutyBytes, layerBytes } from "./cost.ts";
import type { ClusterDescription } from "./description.ts";
import { listGroups } from "./groups.ts";
import { MISSING_BYTES_STEP } from "./limits.ts";
import { Machines } from "./machine.ts";
import type { ModelCosts } from "./model-costs.ts";
import type { Plan, PlanStage } from "./plan.ts";
import { type Prediction, predict } from "./prediction.ts";
import { type Chain, type Found, Search } from "./search.ts";

/** What whoever runs the cluster prescribes; undefined: the planner chooses. */
export interface PlanConstraints {
  /** Nodes that share every layer. */
  readonly tensorParallelismDegree?: number | undefined;
  /** Stages that layers are cut into. */
  readonly pipelineParallelismDegree?: number | undefined;
}

export interface Planned {
  readonly plan: Plan;
  readonly prediction: Prediction;
  /** Whether every plan was looked at, so that none is faster. */
  readonly optimal: boolean;
  /** Nodes without a part: they would slow the others down. */
  readonly unused: readonly string[];
}

/**
 * The fastest plan; of equal ones that of the fewest stages and nodes. The same for the same description, in whatever order
 * its nodes are listed. E_NODES where none was measured in the format, E_PLAN where no split fits, with the bytes that are
 * missing.
 */
export function planCluster(
  description: ClusterDescription,
  costs: ModelCosts,
  constraints: PlanConstraints = {},
): Planned {
  const machines = Machines.of(description, costs.format);
  checkDegrees(machines, costs, constraints);
  const found = search(machines, costs, constraints);
  if (found.chain === undefined) throw tooLarge(machines, costs, constraints);
  const plan = planOf(found.chain, machines, costs);
  const prediction = predict(plan, machines, costs);
  const { seconds } = found.chain;
  assert(
    Math.abs(prediction.secondsPerToken - seconds) <= seconds * 1e-9,
    `The plan takes ${prediction.secondsPerToken} s, not ${seconds} as its search said.`,
  );
  const working = new Set(plan.stages.flatMap(({ ranks }) => ranks.map(({ node }) => node)));
  const unused = description.nodes.map(({ name }) => name).filter((name) => !working.has(name));
  return { plan, prediction, optimal: found.exhaustive, unused: unused.sort() };
}

/** What is gained by another plan must be worth moving to it: keys and values are computed again. */
const GAIN_MIN = 1.15;

/** A plan in force where it still fits and hardly any is faster, else the fastest. Errors: those of `planCluster`. */
export function keepOrPlan(
  { description, costs, constraints = {} }: PlanTask,
  inForce: Plan | undefined,
): Pick<Planned, "plan" | "prediction"> {
  const best = planCluster(description, costs, constraints);
  const kept = inForce && predictionOf(inForce, { description, costs, constraints });
  if (inForce === undefined || kept === undefined) return best;
  const worth = kept.secondsPerToken > GAIN_MIN * best.prediction.secondsPerToken;
  return worth ? best : { plan: inForce, prediction: kept };
}

/** Plain data. */
export interface PlanTask {
  readonly description: ClusterDescription;
  readonly costs: ModelCosts;
  readonly constraints?: PlanConstraints | undefined;
}

/** What a plan comes to; undefined where it does not fit these nodes, this model or what is prescribed. */
function predictionOf(
  plan: Plan,
  { description, costs, constraints = {} }: PlanTask,
): Prediction | undefined {
  const machines = Machines.of(description, costs.format);
  const ranks = plan.stages.flatMap((stage) => stage.ranks);
  const known = ranks.every(({ node }) => machines.indexOf(node) !== -1);
  const { tensorParallelismDegree: tensor, pipelineParallelismDegree: pipeline } = constraints;
  const prescribed =
    (pipeline === undefined || plan.stages.length === pipeline) &&
    (tensor === undefined || plan.stages.every((stage) => stage.ranks.length === tensor));
  const layers = plan.stages.at(-1)?.layers[1];
  const sameModel = plan.model === costs.name && plan.format === costs.format && layers === costs.layers;
  if (!known || !prescribed || !sameModel) return undefined;
  const prediction = predict(plan, machines, costs);
  const fits = prediction.ranks.every(({ memoryBytes, memoryBytesMax }) => memoryBytes <= memoryBytesMax);
  return fits && Number.isFinite(prediction.secondsPerToken) ? prediction : undefined;
}

/** What a plan comes to on these nodes. E_NODES where none was measured in its format. */
export function predictPlan(plan: Plan, description: ClusterDescription, costs: ModelCosts): Prediction {
  return predict(plan, Machines.of(description, costs.format), costs);
}

function search(machines: Machines, costs: ModelCosts, constraints: PlanConstraints): Found {
  const { tensorParallelismDegree: tensor, pipelineParallelismDegree: pipeline } = constraints;
  const nodes = machines.list.length;
  const ranksMax = Math.min(nodes, costs.attention.segments, costs.ffn.segments);
  const sizes = { min: tensor ?? 1, max: tensor ?? ranksMax };
  const { groups, complete } = listGroups(machines, costs, sizes);
  if (groups.length === 0) return { chain: undefined, exhaustive: complete };
  const stages = { min: pipeline ?? 1, max: pipeline ?? Math.min(nodes, costs.layers) };
  const { chain, exhaustive } = new Search(machines, costs, groups).run({ stages });
  return { chain, exhaustive: exhaustive && complete };
}

function checkDegrees(machines: Machines, costs: ModelCosts, constraints: PlanConstraints): void {
  const { tensorParallelismDegree: tensor = 1, pipelineParallelismDegree: pipeline = 1 } = constraints;
  const { name, layers, attention, ffn } = costs;
  const refuse = (problem: string): never => {
    throw new ClawError("E_PLAN", problem);
  };
  if (tensor > Math.min(attention.segments, ffn.segments)) {
    refuse(
      `${name} cannot be split ${tensor} ways: it has ${attention.segments} attention and ${ffn.segments} FFN segments.`,
    );
  }
  if (pipeline > layers) refuse(`${name} has ${layers} layers; they do not make ${pipeline} stages.`);
  const wanted = tensor * pipeline;
  const there = machines.list.length;
  if (wanted > there) {
    refuse(
      `${pipeline} stages of ${tensor} nodes need ${wanted} nodes; ${there} were measured with ${costs.format}.`,
    );
  }
}

/** The error for a model that no split makes fit: how many bytes every node lacks. */
function tooLarge(machines: Machines, costs: ModelCosts, constraints: PlanConstraints): ClawError {
  const fits = (bytes: number): boolean =>
    search(machines.withMemory(bytes), costs, constraints).chain !== undefined;
  const all = wholeBytes(costs);
  const has = machines.list.map(({ name, memoryBytes }) => `${name} has ${memoryBytes}`).join(", ");
  const needs = `${costs.name} as ${costs.format} with ${costs.rows} sequences takes ${all} bytes on one node`;
  if (!fits(all)) {
    return new ClawError("E_PLAN", `No links join the nodes that a plan for ${costs.name} needs.`);
  }
  let low = 0;
  let high = Math.ceil(all / MISSING_BYTES_STEP);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle * MISSING_BYTES_STEP)) high = middle;
    else low = middle;
  }
  const missing = high * MISSING_BYTES_STEP;
  return new ClawError(
    "E_PLAN",
    `${needs}; no split fits (${has}). It would with ${missing} bytes more on every node.`,
  );
}

function wholeBytes(costs: ModelCosts): number {
  const all = { attention: costs.attention.segments, ffn: costs.ffn.segments };
  return costs.layers * layerBytes(costs, all) + dutyBytes(costs, { first: true, output: true });
}

function planOf({ stages, output }: Chain, machines: Machines, costs: ModelCosts): Plan {
  let first = 0;
  const planned = stages.map(({ group, sharing, layers }): PlanStage => {
    const { attention, ffn } = sharing;
    const ranks = group.nodes.map((node, rank) => ({
      node: machines.at(node).name,
      attention: attention.ranges[rank] ?? [0, 0],
      ffn: ffn.ranges[rank] ?? [0, 0],
    }));
    const end = first + layers;
    const stage: PlanStage = { layers: [first, end], ranks };
    first = end;
    return stage;
  });
  return { model: costs.name, format: costs.format, stages: planned, output: machines.at(output).name };
}
