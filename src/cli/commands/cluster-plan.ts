/** `claw cluster plan`: how a model is best split between nodes, described in a file or of a live cluster. Nothing is started. */

import { ClawError } from "../../base/mod.ts";
import {
  type ClusterDescription,
  type ModelCosts,
  modelCosts,
  observeCluster,
  offersOf,
  type Planned,
  parseCluster,
  planCluster,
  ROWS_MAX,
} from "../../cluster/mod.ts";
import {
  CONTEXT_MAX,
  type ControlOptions,
  choiceOption,
  controlOptions,
  deviceOptions,
  modelOptions,
  numberOption,
  switchOption,
  textOption,
  twoColumns,
} from "../../config/mod.ts";
import { describePreset, type ModelDescription, openModelFile, presetNames } from "../../model/mod.ts";
import { clusterOf } from "../cluster-access.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel, readText } from "../files.ts";
import { figure, formatBytes } from "../numbers.ts";
import { stageRows } from "../plan-rows.ts";
import { print, printJson } from "../terminal.ts";

interface PlanSettings extends ControlOptions {
  readonly nodes: string | undefined;
  readonly model: string | undefined;
  readonly preset: (typeof presetNames)[number] | undefined;
  readonly format: "f16" | "i8" | "i4";
  readonly kvFormat: "f16" | "f32" | "i8";
  readonly rows: number;
  readonly context: number;
  readonly tensorParallelismDegree: number | undefined;
  readonly pipelineParallelismDegree: number | undefined;
  readonly json: boolean;
}

const DEGREE_MAX = 1024;
const CONTEXT_DEFAULT = 4096;

const degreeOption = (flag: string, meaning: string) =>
  numberOption({
    flag,
    meaning,
    range: [1, DEGREE_MAX],
    default: undefined,
    otherwise: "the planner's choice",
  });

export const clusterPlan: Command = defineCommand<PlanSettings>({
  name: "cluster plan",
  summary: "Shows how a model is best split between measured nodes, and how fast that is.",
  options: {
    nodes: textOption({
      flag: "nodes",
      placeholder: "FILE",
      meaning: "a JSON description of nodes and links (docs/reference/cluster.md)",
      default: undefined,
      otherwise: "the nodes that live, at --control",
    }),
    ...controlOptions,
    model: modelOptions.model,
    preset: choiceOption({
      flag: "preset",
      meaning: "the shape of a known model, without a file",
      choices: presetNames,
      default: undefined,
      otherwise: "the model's own",
    }),
    format: deviceOptions.format,
    kvFormat: choiceOption({
      flag: "kv-format",
      meaning: "how keys and values are kept",
      choices: ["f16", "f32", "i8"],
      default: "f16",
    }),
    rows: numberOption({
      flag: "rows",
      meaning: "sequences that are decoded together",
      range: [1, ROWS_MAX],
      default: 1,
    }),
    context: numberOption({
      flag: "context",
      meaning: "positions of each sequence",
      unit: "tokens",
      range: [1, CONTEXT_MAX],
      default: CONTEXT_DEFAULT,
    }),
    tensorParallelismDegree: degreeOption("tensor-parallelism-degree", "nodes that share every layer"),
    pipelineParallelismDegree: degreeOption(
      "pipeline-parallelism-degree",
      "stages that the layers are cut into",
    ),
    json: switchOption("json", "print an object"),
  },
  run: async (settings) => {
    const cluster = await clusterToPlan(settings);
    const costs = modelCosts(describedModel(settings), settings);
    const planned = planCluster(cluster, costs, settings);
    return settings.json ? printJson(planned) : print(describe(planned, costs));
  },
});

async function clusterToPlan(settings: PlanSettings): Promise<ClusterDescription> {
  const { nodes, control } = settings;
  if ((nodes === undefined) === (control === undefined)) {
    throw new ClawError("E_USAGE", "claw cluster plan needs --nodes FILE or --control URL, one of them.");
  }
  if (nodes !== undefined) return parseCluster(readText(nodes));
  const live = await clusterOf(settings, "cluster plan");
  try {
    const agent = await observeCluster(live);
    const living = agent.status().peers.filter(({ alive }) => alive);
    agent.stop();
    return offersOf(living.map(({ record }) => record)).cluster;
  } finally {
    await live.store.close();
  }
}

function describedModel({ model, preset }: PlanSettings): ModelDescription {
  if (model !== undefined && preset !== undefined) {
    throw new ClawError("E_USAGE", "claw cluster plan takes --model or --preset, not both.");
  }
  if (preset !== undefined) return describePreset(preset);
  const { description, close } = openModelFile(chooseModel(model));
  close();
  return description;
}

function describe({ plan, prediction, unused, optimal }: Planned, costs: ModelCosts): string {
  const p = prediction;
  const ms = (seconds: number): string => `${figure(seconds * 1000)} ms`;
  const memory = p.ranks.map(({ node, memoryBytes, memoryBytesMax }) => {
    return `${node} ${formatBytes(memoryBytes)} of ${formatBytes(memoryBytesMax)}`;
  });
  const rows: [string, string][] = [
    ["Model", `${plan.model} as ${plan.format}, ${costs.layers} layers`],
    ...stageRows(plan),
    ["Output", plan.output],
    ["Memory", memory.join(", ")],
    ["Predicted", `${figure(p.tokensPerSecond)} tokens/s, ${ms(p.secondsPerToken)} a step`],
    [
      "Of a step",
      `layers ${ms(p.computeSeconds)}, output ${ms(p.outputSeconds)}, exchanges ${ms(p.exchangeSeconds)}, hops ${ms(p.hopSeconds)}; ${p.messageWaits} waits for a message`,
    ],
    ["Stages busy", `${figure(p.pipelineTokensPerSecond)} tokens/s`],
    ["Left out", unused.join(", ") || "none"],
    ["Searched", optimal ? "every plan" : "the most promising plans"],
  ];
  return `${twoColumns(rows)}\n`;
}
