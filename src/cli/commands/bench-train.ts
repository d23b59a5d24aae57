/** `claw bench train`: how fast this machine trains, beside the processor's ceiling. */

import { measureTraining } from "../../bench/mod.ts";
import { deviceOptions, numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { print, printJson } from "../terminal.ts";

interface TrainBenchSettings {
  readonly threads: number | undefined;
  readonly rounds: number;
  readonly json: boolean;
}

const ROUNDS_MAX = 1000;
const ROUNDS_DEFAULT = 7;
const GIGA = 1e9;

export const benchTrain: Command = defineCommand<TrainBenchSettings>({
  name: "bench train",
  summary: "Measures updates of a model of 5.5 million parameters against the processor's f32 ceiling.",
  options: {
    threads: deviceOptions.threads,
    rounds: numberOption({
      flag: "rounds",
      meaning: "updates whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ threads, rounds, json }) => {
    const machine = readMachine();
    const report = await measureTraining(threads ?? machine.cpu.usable, rounds);
    if (json) return printJson({ bench: "train", ...report, machine });
    const giga = (value: number): string => `${(value / GIGA).toFixed(1)} GFLOP/s`;
    return print(
      `${twoColumns([
        ["Device", `${report.device}, ${report.threads} threads`],
        ["Training", `${Math.round(report.tokensPerSecond)} tokens/s`],
        ["In matrices", `${giga(report.operationsPerSecond)} over the whole update's time`],
        ["Ceiling", giga(report.peakPerSecond)],
        ["Share", `${(100 * report.share).toFixed(1)} %`],
      ])}\n`,
    );
  },
});
