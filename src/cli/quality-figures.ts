/** A report of `claw bench divergence` or `perplexity` as rows of names and figures. */

import type { QualityReport } from "../bench/mod.ts";
import { figure } from "./numbers.ts";

type Row = readonly [string, string];

/** The parts of `details` that are shown; which of them there are depends on the measurement. */
interface Details {
  readonly layers?: number;
  readonly tokens?: number;
  readonly factors?: readonly {
    readonly factor: number;
    readonly ours: number;
    readonly peer: number | null;
    readonly ratio: number | null;
    readonly seeds: readonly object[];
  }[];
  readonly count?: number;
  readonly windows?: number;
  readonly window?: number;
  readonly base?: { readonly ours: number; readonly peer: number | null };
  readonly quantized: {
    readonly type: string;
    readonly mixture: string;
    readonly others: readonly { readonly name: string; readonly type: string }[];
  } | null;
}

export function qualityFigures(report: QualityReport): Row[] {
  const details = report.details as unknown as Details;
  const { model, format, device, threads, ours, peer, ratio, unit } = report;
  return [
    ["Model", `${model.file}, as ${format}`],
    ["Device", `${device}, ${threads} threads`],
    ...sizeRows(details),
    ...factorRows(details),
    ["Ours", `${precise(ours)} ${unit}`],
    ...(peer === null || ratio === null
      ? []
      : ([
          ["llama.cpp", `${precise(peer)} ${unit}`],
          ["Ratio", `${precise(ratio)}; lower is better`],
        ] as const)),
    ...baseRows(details),
    ...quantizedRows(details),
  ];
}

function sizeRows({ layers, tokens, count, windows, window }: Details): Row[] {
  if (layers !== undefined) return [["Size", `${layers} layers, ${tokens} positions`]];
  return [["Scored", `${count} tokens in ${windows} windows of ${window}`]];
}

function factorRows({ factors = [] }: Details): Row[] {
  return factors.map(({ factor, ours, peer, ratio, seeds }) => {
    const compared =
      peer === null || ratio === null ? "" : `, llama.cpp ${figure(peer)}, ratio ${precise(ratio)}`;
    return [`Outliers ${factor}x`, `${figure(ours)}${compared}; medians of ${seeds.length} seeds`];
  });
}

function baseRows({ base }: Details): Row[] {
  if (base === undefined) return [];
  const peer = base.peer === null ? "" : `, llama.cpp ${precise(base.peer)} as the file is`;
  return [["f16", `${precise(base.ours)}${peer}`]];
}

/** Names the matrices that did not get the type that was asked for. */
function quantizedRows({ quantized }: Details): Row[] {
  if (quantized === null) return [];
  const { type, mixture, others } = quantized;
  const byType = Map.groupBy(others, (each) => each.type);
  const mixed = [...byType].map(
    ([other, tensors]) => `${tensors.map(({ name }) => name).join(", ")} as ${other}`,
  );
  const exceptions = mixed.length === 0 ? "" : `; but ${mixed.join("; ")}`;
  return [["Its file", `${type}, ${mixture} mixture${exceptions}`]];
}

function precise(value: number): string {
  return value >= 1 ? value.toFixed(4) : value.toPrecision(4);
}
