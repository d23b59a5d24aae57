/** `claw node measure`: this machine as a node of a cluster, for `claw cluster plan`. */

import { join } from "node:path";
import { measureNode, ROUNDS_DEFAULT } from "../../bench/mod.ts";
import { machineName, NODE_NAME, type NodeDescription } from "../../cluster/mod.ts";
import { cacheFolder } from "../../config/folders/mod.ts";
import {
  choiceOption,
  deviceOptions,
  numberOption,
  switchOption,
  textOption,
  twoColumns,
} from "../../config/mod.ts";
import { presetNames } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { nodeMemoryBytes } from "../machine.ts";

import { figure, formatBytes } from "../numbers.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface MeasureSettings {
  readonly name: string | undefined;
  readonly format: "f16" | "i8" | "i4" | undefined;
  readonly preset: (typeof presetNames)[number];
  readonly threads: number | undefined;
  readonly rounds: number;
  readonly json: boolean;
}

const FORMATS = ["i8", "i4", "f16"] as const;
const ROUNDS_MAX = 1000;

export const nodeMeasure: Command = defineCommand<MeasureSettings>({
  name: "node measure",
  summary: "Measures this machine as a node of a cluster.",
  options: {
    name: textOption({
      flag: "name",
      placeholder: "NAME",
      meaning: "the node's name",
      pattern: NODE_NAME,
      expected: "letters, digits, - and _, at most 64,",
      default: undefined,
      otherwise: "the machine's",
    }),
    format: choiceOption({
      flag: "format",
      meaning: "weights of one format alone",
      choices: FORMATS,
      default: undefined,
      otherwise: "all",
    }),
    preset: choiceOption({
      flag: "preset",
      meaning: "in whose shape layers are measured",
      choices: presetNames,
      default: "llama-1b",
    }),
    threads: deviceOptions.threads,
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ name, format, preset, threads, rounds, json }) => {
    const measured = await measureNode({
      ...{ preset, threads, rounds },
      formats: format === undefined ? FORMATS : [format],
      folder: join(cacheFolder(), "bench"),
      onProgress: progressLine,
    });
    const node: NodeDescription = {
      name: name ?? machineName(),
      memoryBytes: nodeMemoryBytes(),
      ...measured,
    };
    return json ? printJson(node) : print(described(node));
  },
});

function described({ name, memoryBytes, formats, kvBytesPerSecond, layerSeconds }: NodeDescription): string {
  const speeds = Object.entries(formats).map(([format, speed]): [string, string] => {
    const bytes = `${formatBytes(speed.bytesPerSecond)}/s of weights in decoding`;
    return [`As ${format}`, `${bytes}, ${figure(speed.multiplyAddsPerSecond / 1e9)} GMAC/s of many rows`];
  });
  return `${twoColumns([
    ["Node", name],
    ["Memory", `${formatBytes(memoryBytes)} for weights and KV cache`],
    ...speeds,
    ["Keys and values", `${formatBytes(kvBytesPerSecond)}/s in attention`],
    ["A layer beside them", `${figure(layerSeconds * 1e6)} us`],
  ])}\n`;
}
