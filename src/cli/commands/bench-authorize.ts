/** `claw bench authorize`: what a capability token costs a request. */

import { measureAuthorize } from "../../bench/mod.ts";
import { numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { describeMachine } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { figure } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

const ROUNDS = 2000;
const ROUNDS_MAX = 1_000_000;

export const benchAuthorize: Command = defineCommand<{ readonly rounds: number; readonly json: boolean }>({
  name: "bench authorize",
  summary: "Measures how long it takes to authorize an operation by a capability token of three blocks.",
  options: {
    rounds: numberOption({
      flag: "rounds",
      meaning: "authorizations of each kind",
      range: [100, ROUNDS_MAX],
      default: ROUNDS,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ rounds, json }) => {
    const report = await measureAuthorize(rounds);
    const machine = describeMachine();
    if (json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    const row = ({ p50, p99, max }: typeof report.evaluatedMs): string =>
      `${figure(p50)} ms, p99 ${figure(p99)} ms, at most ${figure(max)} ms`;
    return print(
      `${twoColumns([
        ["Machine", machine],
        ["Evaluated", row(report.evaluatedMs)],
        ["Exchange", row(report.exchangeMs)],
        ["Remembered", row(report.rememberedMs)],
      ])}\n`,
    );
  },
});
