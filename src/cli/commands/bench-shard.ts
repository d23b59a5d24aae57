/** `claw bench shard`: what it costs to split a model over processes. */

import { join } from "node:path";
import { measureShards, ROUNDS_DEFAULT, type SplitFigures } from "../../bench/mod.ts";
import { cacheFolder } from "../../config/folders/mod.ts";
import { choiceOption, deviceOptions, numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { type PresetName, presetNames } from "../../model/mod.ts";
import { describeMachine } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { figure } from "../numbers.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface ShardBenchSettings {
  readonly preset: PresetName;
  readonly format: "f16" | "i8" | "i4";
  readonly rounds: number;
  readonly link: "shared" | "tcp" | "ucx";
  readonly json: boolean;
}

const ROUNDS_MAX = 1000;

export const benchShard: Command = defineCommand<ShardBenchSettings>({
  name: "bench shard",
  summary: "Measures a model split over two processes of one thread each, beside one process of two.",
  options: {
    preset: choiceOption({
      flag: "preset",
      meaning: "a model with random weights in the shape of a real one",
      choices: presetNames,
      default: "llama-1b",
    }),
    format: deviceOptions.format,
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    link: choiceOption({
      flag: "link",
      meaning: "what the processes are linked by",
      choices: ["shared", "tcp", "ucx"],
      default: "shared",
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ preset, format, rounds, link, json }) => {
    const folder = join(cacheFolder(), "bench");
    const report = await measureShards({
      ...{ preset, format, folder, rounds, driver: link },
      onProgress: progressLine,
    });
    const machine = describeMachine();
    if (json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    const { batch } = report;
    const rows: [string, string][] = [
      ["Machine", machine],
      ["Two shards, one sequence", wordsOf(report.tensor)],
      [`Two stages, two steps of ${batch}`, wordsOf(report.pipeline)],
      [`Two stages, two steps of ${batch / 2}`, wordsOf(report.pipelineHalves)],
      [`Two stages, one step of ${batch}`, wordsOf(report.pipelineOneStep)],
    ];
    return print(`${twoColumns(rows)}\n`);
  },
});

function wordsOf(figures: SplitFigures): string {
  const { split, alone, ratio, roundTripsPerToken, messageBytesPerToken } = figures;
  const speed = `${figure(split)} tokens/s, ${figure(ratio)} times ${figure(alone)} of one process`;
  return `${speed}; ${figure(roundTripsPerToken)} exchanges a step, ${figure(messageBytesPerToken)} bytes a token`;
}
