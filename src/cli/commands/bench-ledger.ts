/** `claw bench ledger`: durable appends to the ledger, beside what the disk can do. */

import { ENTRY_BYTES_MIN, type LedgerReport, measureLedger } from "../../bench/mod.ts";
import { numberOption, switchOption, textOption, twoColumns } from "../../config/mod.ts";
import { ENTRY_BYTES_MAX } from "../../records/mod.ts";
import { describeMachine, givenFlags, RECORD, record } from "../bench-record.ts";
import { type Command, defineCommand } from "../command.ts";
import { readMachine } from "../machine.ts";
import { figure, formatBytes, formatCount } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface LedgerSettings {
  readonly entryBytes: number;
  readonly clients: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly publishMs: number;
  readonly folder: string | undefined;
  readonly json: boolean;
  readonly record: boolean;
}

/** As large as an entry with every field is, and a few nodes. */
const ENTRY_BYTES_DEFAULT = 1400;
const CLIENTS_MAX = 16_384;
const CLIENTS_DEFAULT = 256;
const SECONDS_MAX = 3600;
const SECONDS_DEFAULT = 5;
const ROUNDS_MAX = 1000;
const ROUNDS_DEFAULT = 3;
const PUBLISH_MS_MAX = 60_000;
const PUBLISH_MS_DEFAULT = 1000;

export const benchLedger: Command = defineCommand<LedgerSettings>({
  name: "bench ledger",
  summary: "Measures durable appends to the ledger, each client awaiting its acknowledgement.",
  options: {
    entryBytes: numberOption({
      flag: "entry-bytes",
      meaning: "size of an entry",
      range: [ENTRY_BYTES_MIN, ENTRY_BYTES_MAX],
      default: ENTRY_BYTES_DEFAULT,
    }),
    clients: numberOption({
      flag: "clients",
      meaning: "clients, each with one entry on its way",
      range: [1, CLIENTS_MAX],
      default: CLIENTS_DEFAULT,
    }),
    seconds: numberOption({
      flag: "seconds",
      meaning: "length of a round",
      range: [0.1, SECONDS_MAX],
      whole: false,
      default: SECONDS_DEFAULT,
    }),
    rounds: numberOption({
      flag: "rounds",
      meaning: "rounds whose median counts",
      range: [1, ROUNDS_MAX],
      default: ROUNDS_DEFAULT,
    }),
    publishMs: numberOption({
      flag: "publish-ms",
      meaning: "milliseconds between checkpoints",
      range: [1, PUBLISH_MS_MAX],
      default: PUBLISH_MS_DEFAULT,
    }),
    folder: textOption({
      flag: "folder",
      placeholder: "FOLDER",
      meaning: "where the log is written",
      default: undefined,
      otherwise: "the system's temporary folder",
    }),
    json: switchOption("json", "print an object"),
    record: switchOption("record", `write the figures to ${RECORD}, too`),
  },
  run: async (settings) => {
    const report = await measureLedger(settings);
    const figures = rowsOf(report);
    if (settings.record) {
      const { entryBytes, clients, seconds, rounds, publishMs } = settings;
      const flags = { "entry-bytes": entryBytes, clients, seconds, rounds, "publish-ms": publishMs };
      const measured = { bench: "ledger", format: "durable", model: { preset: null, file: "appends" } };
      record(measured, { figures, commandLine: `./claw bench ledger ${givenFlags(flags)}` });
    }
    const machine = describeMachine();
    if (settings.json) return printJson({ ...report, machine: { description: machine, ...readMachine() } });
    return print(`${twoColumns([["Machine", machine], ...figures])}\n`);
  },
});

function rowsOf(report: LedgerReport): [string, string][] {
  const { disk, entryBytes, clients, rounds, publishMs } = report;
  const speeds = rounds.map(({ entriesPerSecond }) => formatCount(Math.round(entriesPerSecond)));
  const ms = (value: number): string => `${figure(value)} ms`;
  return [
    ["Load", `${clients} clients, entries of ${entryBytes} bytes, a checkpoint every ${publishMs} ms`],
    [
      "Durable entries",
      `${formatCount(Math.round(report.entriesPerSecond))}/s (rounds: ${speeds.join(", ")})`,
    ],
    [
      "Latency p50, p99, most",
      [report.latencyMsP50, report.latencyMsP99, report.latencyMsMax].map(ms).join(", "),
    ],
    ["Group commits", `${formatCount(report.commits)} of ${figure(report.entriesPerCommit)} entries`],
    ["Sync of a commit p50, p99", `${ms(report.commitSyncMsP50)}, ${ms(report.commitSyncMsP99)}`],
    ["Syncs in all", `${formatCount(report.syncs)} (${formatCount(report.files)} published files)`],
    ["Disk, syncs of 4 KiB", `${formatCount(Math.round(disk.syncsPerSecond))}/s`],
    ["Disk, in a row", `${formatBytes(Math.round(disk.bytesPerSecond))}/s`],
  ];
}
