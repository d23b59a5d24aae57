/** A report of `claw bench` as rows of names and figures. */

import type { BenchReport } from "../bench/mod.ts";
import { figure } from "./numbers.ts";

type Row = readonly [string, string];

/** The parts of `details` that are shown; which of them there are depends on the measurement. */
interface Details {
  readonly sequences?: number;
  readonly context?: number;
  readonly tokens?: number;
  readonly rows?: number;
  readonly bandwidth?: Share;
  readonly compute?: Share;
  readonly sharedStepRatio?: number;
  readonly attention?: { readonly seconds: number; readonly timesReading: number };
  readonly promptAttention?: Share & { readonly ofPrefill: number };
  readonly stepOverheadMicroseconds?: number;
  readonly load?: {
    readonly modelBytes: number;
    readonly importRate: number;
    readonly importColdRate: number;
    readonly importKeptRate: number;
    readonly firstStartSeconds: number;
    readonly secondStartSeconds: number;
    readonly cachedSpeed: number;
  };
  readonly products?: readonly {
    readonly rows: number;
    readonly columns: number;
    readonly batch: number;
    readonly compute: Share;
    readonly bandwidth: Share;
  }[];
}

interface Share {
  readonly amount: number;
  readonly seconds: number;
  readonly fraction: number;
}

export function benchFigures(report: BenchReport): Row[] {
  const { model, format, device, threads, rounds, ours, unit } = report;
  const details = report.details as Details;
  return [
    ["Model", `${model.file}, as ${format}, KV cache in ${report.kvFormat}`],
    ["Device", `${device}, ${threads} threads, median of ${rounds} rounds`],
    ...ceilingRows(report),
    ...sizeRows(details),
    ["Ours", `${figure(ours)} ${unit}`],
    ...peerRows(report),
    ...loadRows(details),
    ...shareRows(details),
    ...productRows(details),
  ];
}

function ceilingRows({ ceilings }: BenchReport): Row[] {
  const rate = ([one, all]: readonly [number, number], unit: string): string =>
    `${figure(all / 1e9)} ${unit}, one thread ${figure(one / 1e9)}`;
  return [
    ["Reading", `${rate(ceilings.readBytes, "GB/s")} (${ceilings.readKernel})`],
    ["int8 products", `${rate(ceilings.multiplies, "GMAC/s")} (${ceilings.multiplyKernel})`],
    ["f32 operations", `${rate(ceilings.floatOperations, "GFLOP/s")} (${ceilings.floatKernel})`],
  ];
}

function sizeRows({ sequences, context, tokens, rows }: Details): Row[] {
  if (tokens !== undefined) return [["Prompt", `${tokens} tokens in steps of ${rows}`]];
  return sequences === undefined ? [] : [["Sequences", `${sequences} at ${context} positions`]];
}

function peerRows({ peer, ratio, peerDetails, unit }: BenchReport): Row[] {
  if (peer === null || ratio === null || peerDetails === null) return [];
  const { release, flashAttention, features } = peerDetails;
  return [
    ["llama.cpp", `${figure(peer)} ${unit} (${release}, flash attention ${flashAttention})`],
    ["Its features", features.replaceAll(" |", ",").replace(/,\s*$/, "")],
    ["Ratio", figure(ratio)],
  ];
}

function loadRows({ load }: Details): Row[] {
  if (load === undefined) return [];
  const rate = (value: number): string => `${figure(value)} MB/s of the model file`;
  return [
    ["Import, file in memory", `${rate(load.importRate)} (${figure(load.modelBytes / 1e9)} GB)`],
    ["Import, file dropped before", rate(load.importColdRate)],
    ["Until kept and ended", rate(load.importKeptRate)],
    ["First start", `${figure(load.firstStartSeconds)} s from the process to the first token`],
    ["Second start", `${figure(load.secondStartSeconds)} s from the process to the first token`],
    [
      "Decoding with weights from the cache",
      `${figure(load.cachedSpeed)} times the speed with weights just packed`,
    ],
  ];
}

function shareRows(details: Details): Row[] {
  const { bandwidth, compute, sharedStepRatio, attention, promptAttention, stepOverheadMicroseconds } =
    details;
  return [
    ...(bandwidth === undefined ? [] : [shareRow("Of bandwidth", bandwidth)]),
    ...(compute === undefined ? [] : [shareRow("Of arithmetic", compute)]),
    ...optional("Steps apart", sharedStepRatio, (ratio) => `take ${figure(ratio)} times the shared step`),
    ...optional("Attention", attention, ({ seconds, timesReading }) => {
      return `${figure(seconds * 1e3)} ms, ${figure(timesReading)} times reading the KV cache once`;
    }),
    ...optional("Attention", promptAttention, ({ seconds, fraction, ofPrefill }) => {
      return `${figure(seconds * 1e3)} ms, ${figure(ofPrefill)} of it all, at ${figure(fraction)} of f32 arithmetic`;
    }),
    ...optional(
      "Beside kernels",
      stepOverheadMicroseconds,
      (time) => `${figure(time)} us a step of 32 layers`,
    ),
  ];
}

function optional<T>(name: string, value: T | undefined, describe: (value: T) => string): Row[] {
  return value === undefined ? [] : [[name, describe(value)]];
}

function shareRow(name: string, { amount, seconds, fraction }: Share): Row {
  return [name, `${figure(fraction)} (${figure(amount / 1e9)} G in ${figure(seconds * 1e3)} ms)`];
}

function productRows({ products = [] }: Details): Row[] {
  return products.map(({ rows, columns, batch, compute, bandwidth }) => {
    const speeds = [
      `${figure(compute.amount / compute.seconds / 1e9)} G/s, ${figure(compute.fraction)} of arithmetic`,
      `${figure(bandwidth.amount / bandwidth.seconds / 1e9)} GB/s, ${figure(bandwidth.fraction)} of bandwidth`,
    ];
    return [`${rows} x ${columns} at ${batch}`, speeds.join("; ")];
  });
}
