/** A report of `claw bench serve` as rows of names and figures. */

import type { BacklogReport, RecordingReport, ServingReport } from "../bench/mod.ts";
import { figure, formatBytes } from "./numbers.ts";

type Row = readonly [string, string];

interface Spread {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

type Figures = ServingReport["figures"];

export function servingFigures(report: ServingReport): Row[] {
  const { figures, peerFigures, ratio, occupancy, batch, errors } = report;
  return [
    ["Model", modelName(report)],
    loadRow(report.load, batch),
    ...sideRows("Ours", figures),
    ...(peerFigures === null ? [] : sideRows("llama.cpp", peerFigures)),
    ...(ratio === null ? [] : ([["Ratio", figure(ratio)]] as const)),
    ...(occupancy === null ? [] : ([["Occupancy", `${figure(occupancy)} while requests waited`]] as const)),
    ...memoryRows(report),
    ...errors.map((error): Row => ["Error", error]),
  ];
}

export function recordingFigures(report: RecordingReport): Row[] {
  const { figures, offFigures, ours, off, ratio, rounds, entries, batch, errors } = report;
  const ratios = rounds.map((round) => figure(round.ratio)).join(", ");
  return [
    ["Model", modelName(report)],
    loadRow(report.load, batch),
    ...sideRows("Ledger on", figures),
    ...sideRows("Ledger off", offFigures),
    ["Medians", `${figure(ours)} tokens/s on, ${figure(off)} off`],
    ["Recorded", `${entries} entries`],
    ["Ratio", `${figure(ratio)}, the median of ${rounds.length} rounds (${ratios})`],
    ...memoryRows(report),
    ...errors.map((error): Row => ["Error", error]),
  ];
}

function loadRow(load: ServingReport["load"], batch: number): Row {
  const parts = Object.entries(load).map(([name, value]) => `${name} ${value}`);
  return ["Load", `${parts.join(", ")}; batch ${batch}`];
}

export function backlogFigures(report: BacklogReport): Row[] {
  const { interTokenMs, ours, alone, ratio, p99OverP50, backlog } = report;
  return [
    ["Model", modelName(report)],
    [
      "Load",
      Object.entries(backlog)
        .map(([name, value]) => `${name} ${value}`)
        .join(", "),
    ],
    ["Between tokens", `${milliseconds(interTokenMs.alone)}, without a backlog`],
    [
      "Beside a backlog",
      `${milliseconds(interTokenMs.beside)}; its p99 is ${figure(p99OverP50)} times the p50 without`,
    ],
    [
      "The backlog",
      `${figure(ours)} tokens/s beside streams, ${figure(alone)} alone: ${figure(ratio)} of it`,
    ],
    ...memoryRows(report),
  ];
}

function modelName({ model, format }: Pick<ServingReport, "model" | "format">): string {
  return format === "" ? model.file : `${model.file}, as ${format}`;
}

function sideRows(name: string, figures: Figures): Row[] {
  const { outputTokensPerSecond, promptTokensPerSecond, seconds, requests, errors } = figures;
  const failed = errors === 0 ? "" : `, ${errors} failed`;
  const speed = `${figure(outputTokensPerSecond)} tokens/s drawn, ${figure(promptTokensPerSecond)} read`;
  const latencies = [
    ["first token", figures.timeToFirstTokenMs],
    ["between tokens", figures.interTokenMs],
    ["end to end", figures.endToEndMs],
  ] as const;
  return [
    [name, `${speed}; ${requests} requests${failed} in ${figure(seconds)} s`],
    ...latencies.map(([what, spread]): Row => [`  ${what}`, spread === null ? "none" : milliseconds(spread)]),
  ];
}

function memoryRows({ memory }: Pick<ServingReport, "memory">): Row[] {
  if (memory === null || memory.resident === null || memory.highWater === null) return [];
  const { resident, highWater } = memory;
  return [["Memory", `${formatBytes(resident)} resident, ${formatBytes(highWater)} at most`]];
}

function milliseconds({ p50, p90, p99 }: Spread): string {
  return `p50 ${figure(p50)}, p90 ${figure(p90)}, p99 ${figure(p99)} ms`;
}
