/** `claw bench seal`: how fast a model is verified, beside how fast the machine hashes. */

import { measureSealing } from "../../bench/mod.ts";
import { type ModelOptions, modelOptions, numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { describeMachine } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { readMachine } from "../machine.ts";
import { figure, formatBytes } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface SealBenchSettings extends ModelOptions {
  readonly rounds: number;
  readonly json: boolean;
}

const ROUNDS_MAX = 1000;
const ROUNDS_DEFAULT = 5;

export const benchSeal: Command = defineCommand<SealBenchSettings>({
  name: "bench seal",
  summary: "Measures how fast a model is verified, beside how fast the machine computes SHA-256.",
  options: {
    ...modelOptions,
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ model, rounds, json }) => {
    const report = await measureSealing(chooseModel(model), rounds);
    const machine = describeMachine();
    if (json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    const rate = (bytes: number): string => `${formatBytes(Math.round(bytes))}/s`;
    const rows: [string, string][] = [
      ["Machine", machine],
      ["Model", `${report.model}, ${formatBytes(report.bytes)}`],
      ["Verification", rate(report.bytesPerSecond)],
      [`SHA-256 on ${report.threads} threads`, rate(report.hashingBytesPerSecond)],
      ["Share", figure(report.share)],
    ];
    return print(`${twoColumns(rows)}\n`);
  },
});
