/** `claw bench alloc`: what a KV page costs to take and release, beside malloc. */

import { type AllocReport, measureAlloc, ROUNDS_DEFAULT } from "../../bench/mod.ts";
import { numberOption, switchOption, twoColumns } from "../../config/mod.ts";
import { describeMachine, RECORD, record } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { figure, formatBytes } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface AllocSettings {
  readonly rounds: number;
  readonly json: boolean;
  readonly record: boolean;
}

const ROUNDS_MAX = 1000;

export const benchAlloc: Command = defineCommand<AllocSettings>({
  name: "bench alloc",
  summary: "Measures the engine's pool of KV pages and malloc on the same requests.",
  options: {
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    json: switchOption("json", "print an object"),
    record: switchOption("record", `write the figures to ${RECORD}, too`),
  },
  run: (settings) => {
    const report = measureAlloc(settings.rounds);
    const figures = rowsOf(report);
    if (settings.record) {
      const model = { preset: null, file: "page pool" };
      const commandLine = `./claw bench alloc --rounds ${report.rounds}`;
      record({ bench: "alloc", format: "f16", model }, { figures, commandLine });
    }
    const machine = describeMachine();
    if (settings.json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    return print(`${twoColumns([["Machine", machine], ...figures])}\n`);
  },
});

function rowsOf({
  pool,
  malloc,
  requests,
  sequences,
  positions,
  rounds,
  ...rest
}: AllocReport): [string, string][] {
  const trace = `${requests} requests of ${positions[0]} to ${positions[1]} positions, ${sequences} at a time`;
  const percent = (share: number): string => `${figure(share * 100)} %`;
  const resident = `${formatBytes(malloc.residentBytes)} for ${formatBytes(malloc.liveBytes)}`;
  return [
    ["Trace", `${trace}, ${rest.bytesPerPosition} bytes each, median of ${rounds} rounds`],
    ["Page taken and released", `${figure(pool.nanosecondsPerPage)} ns`],
    ["Request, by pages", `${figure(pool.nanosecondsPerRequest)} ns`],
    ["Request, by malloc", `${figure(malloc.nanosecondsPerRequest)} ns`],
    ["Unused in pages", percent(pool.fragmentation)],
    ["Unused in malloc's memory", `${percent(malloc.fragmentation)} (${resident})`],
  ];
}
