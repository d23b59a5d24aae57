/** `claw bench train`: how fast this machine trains, beside the processor's ceiling. */

import { type CheckpointReport, measureTraining } from "../../bench/mod.ts";
import { deviceOptions, numberOption, switchOption, textOption, twoColumns } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { print, printJson } from "../terminal.ts";

interface TrainBenchSettings {
  readonly threads: number | undefined;
  readonly rounds: number;
  readonly folder: string | undefined;
  readonly json: boolean;
}

const ROUNDS_MAX = 1000;
const ROUNDS_DEFAULT = 7;
const GIGA = 1e9;

export const benchTrain: Command = defineCommand<TrainBenchSettings>({
  name: "bench train",
  summary:
    "Measures updates of a model of 5.5 million parameters against the processor's f32 ceiling, and what checkpoints cost.",
  options: {
    threads: deviceOptions.threads,
    rounds: numberOption({
      flag: "rounds",
      meaning: "updates, and turns with a checkpoint and without, whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    folder: textOption({
      flag: "folder",
      placeholder: "FOLDER",
      meaning: "where checkpoints are written",
      default: undefined,
      otherwise: "the system's folder for temporary files",
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ threads, rounds, folder, json }) => {
    const machine = readMachine();
    const report = await measureTraining({ threads: threads ?? machine.cpu.usable, rounds, folder });
    if (json) return printJson({ bench: "train", ...report, machine });
    const giga = (value: number): string => `${(value / GIGA).toFixed(1)} GFLOP/s`;
    return print(
      `${twoColumns([
        ["Device", `${report.device}, ${report.threads} threads`],
        ["Training", `${Math.round(report.tokensPerSecond)} tokens/s`],
        ["In matrices", `${giga(report.operationsPerSecond)} over the whole update's time`],
        ["Ceiling", giga(report.peakPerSecond)],
        ["Share", `${(100 * report.share).toFixed(1)} %`],
        ...checkpointRows(report.checkpoints),
      ])}\n`,
    );
  },
});

const MEGA = 1e6;

function checkpointRows(report: CheckpointReport): [string, string][] {
  const { bytes, count, stallMsMedian, stallMsMax, costSeconds, intervalSeconds, share } = report;
  const held = `hold a step ${stallMsMedian.toFixed(1)} ms (median), ${stallMsMax.toFixed(1)} ms (at most)`;
  const lost = `${(1e3 * costSeconds).toFixed(0)} ms of training each`;
  const every = `${(100 * share).toFixed(2)} % of throughput with one in ${intervalSeconds.toFixed(0)} s`;
  return [
    ["Checkpoints", `${count} of ${(bytes / MEGA).toFixed(1)} MB; they ${held}`],
    ["Their cost", `${lost}, ${every}`],
  ];
}
