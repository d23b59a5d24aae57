/** `claw bench`: how fast this machine is, how fast the engine is on it, and how fast llama.cpp is. */

import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { type BenchReport, benchNames, ROUNDS_DEFAULT, runBench } from "../../bench/mod.ts";
import { cacheFolder } from "../../config/folders/mod.ts";
import {
  CONTEXT_MAX,
  choiceOption,
  deviceOptions,
  MAX_BATCH_MAX,
  modelOptions,
  numberOption,
  switchOption,
  twoColumns,
} from "../../config/mod.ts";
import { type PresetName, presetNames } from "../../model/mod.ts";
import { benchFigures } from "../bench-figures.ts";
import { describeMachine, givenFlags, RECORD, record } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface BenchSettings {
  readonly model: string | undefined;
  readonly preset: PresetName | undefined;
  readonly format: "f16" | "i8" | "i4";
  readonly threads: number | undefined;
  readonly batch: number | undefined;
  readonly context: number | undefined;
  readonly rounds: number;
  readonly peer: "llama.cpp" | undefined;
  readonly json: boolean;
  readonly record: boolean;
}

const PRESET_DEFAULT: PresetName = "llama-1b";
const ROUNDS_MAX = 1000;
/** Measurements that are commands of their own. */
const OTHERS: readonly string[] = ["divergence", "ledger", "link", "perplexity", "serve", "shard", "train"];

export const bench: Command = defineCommand<BenchSettings>({
  name: "bench",
  summary: "Measures the engine against this machine's ceilings and, in turns, against llama.cpp.",
  operands: benchNames.join("|"),
  operandCount: [1, 1],
  options: {
    preset: choiceOption({
      flag: "preset",
      meaning: "a model with random weights in the shape of a real one",
      choices: presetNames,
      default: undefined,
      otherwise: PRESET_DEFAULT,
    }),
    model: { ...modelOptions.model, meaning: "a GGUF model instead", otherwise: undefined },
    format: deviceOptions.format,
    threads: deviceOptions.threads,
    batch: numberOption({
      flag: "batch",
      meaning: "sequences decoded together; with kernels the rows that are multiplied",
      range: [1, MAX_BATCH_MAX],
      default: undefined,
      otherwise: "decode 1, batch 16, kernels 1, 4, 16 and 512",
    }),
    context: numberOption({
      flag: "context",
      meaning: "positions of each sequence, in tokens; with prefill those of the prompt",
      range: [1, CONTEXT_MAX],
      default: undefined,
      otherwise: "decode and batch 96, prefill 512, attention 8192",
    }),
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    peer: choiceOption({
      flag: "peer",
      meaning: "what takes turns with the engine",
      choices: ["llama.cpp"],
      default: undefined,
      otherwise: "nothing",
    }),
    json: switchOption("json", "print an object"),
    record: switchOption("record", `write the figures to ${RECORD}, too`),
  },
  run: async (settings, [name]) => {
    const report = await measure(settings, name ?? "");
    const figures = benchFigures(report);
    if (settings.record) record(report, { figures, commandLine: commandLine(report, settings) });
    const machine = describeMachine();
    if (settings.json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    return print(`${twoColumns([["Machine", machine], ...figures])}\n`);
  },
});

function measure(settings: BenchSettings, name: string): Promise<BenchReport> {
  const { model, preset, format, threads, batch, context, rounds, peer } = settings;
  const found = benchNames.find((known) => known === name);
  if (found === undefined) {
    const known = [...benchNames, ...OTHERS].join(", ");
    throw new ClawError("E_USAGE", `There is no measurement ${JSON.stringify(name)}; there are ${known}.`);
  }
  if (model !== undefined && preset !== undefined) {
    throw new ClawError("E_USAGE", "claw bench takes --model or --preset, not both.");
  }
  return runBench({
    bench: found,
    model,
    preset: preset ?? PRESET_DEFAULT,
    folder: join(cacheFolder(), "bench"),
    format,
    threads,
    batch,
    context,
    rounds,
    peer: peer !== undefined,
    onProgress: progressLine,
  });
}

/** The command that repeats the measurement, without the folders of this machine. */
function commandLine(report: BenchReport, { batch, context, peer }: BenchSettings): string {
  const { bench: name, model, format, threads, rounds } = report;
  const source = model.preset === null ? { model: model.file } : { preset: model.preset };
  return `./claw bench ${name} ${givenFlags({ ...source, format, threads, batch, context, peer, rounds })}`;
}
