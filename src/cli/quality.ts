/** What the commands that measure quality share: options, and how a report is shown. */

import type { LossyFormat, Mixture, QualityReport } from "../bench/mod.ts";
import { choiceOption, deviceOptions, type OptionTable, switchOption, twoColumns } from "../config/mod.ts";
import { describeMachine, givenFlags, RECORD, record } from "./bench-record.ts";
import { readMachine } from "./machine.ts";
import { qualityFigures } from "./quality-figures.ts";
import { print, printJson } from "./terminal.ts";

export interface QualityOptions {
  readonly format: LossyFormat;
  readonly mixture: Mixture;
  readonly threads: number | undefined;
  readonly peer: "llama.cpp" | undefined;
  readonly json: boolean;
  readonly record: boolean;
}

export const qualityOptions: OptionTable<QualityOptions> = {
  format: choiceOption({
    flag: "format",
    meaning: "how weights are held; beside i8 llama.cpp has Q8_0, beside i4 Q4_0",
    choices: ["i8", "i4"],
    default: "i8",
    code: "E_FORMAT",
  }),
  mixture: choiceOption({
    flag: "mixture",
    meaning: "pure: one type for all of llama.cpp's matrices; usual: finer ones for some, as it chooses",
    choices: ["pure", "usual"],
    default: "pure",
  }),
  threads: deviceOptions.threads,
  peer: choiceOption({
    flag: "peer",
    meaning: "what is measured beside the engine",
    choices: ["llama.cpp"],
    default: undefined,
    otherwise: "nothing",
  }),
  json: switchOption("json", "print an object"),
  record: switchOption("record", `write the figures to ${RECORD}, too`),
};

/** Records the report if that is asked for, and prints it. `flags` are those of the command itself. */
export function report(
  measured: QualityReport,
  settings: QualityOptions,
  flags: Readonly<Record<string, string | number | undefined>>,
): Promise<void> {
  const figures = qualityFigures(measured);
  const { format, mixture, peer } = settings;
  const all = givenFlags({ ...flags, format, mixture, threads: measured.threads, peer });
  if (settings.record) record(measured, { figures, commandLine: `./claw bench ${measured.bench} ${all}` });
  const machine = describeMachine();
  if (settings.json) return printJson({ ...measured, machine: { description: machine, ...readMachine() } });
  return print(`${twoColumns([["Machine", machine], ...figures])}\n`);
}
