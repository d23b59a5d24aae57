/** What a measurement says. */

import type { KvFormat, NativePeaks, WeightFormat } from "../kernels/mod.ts";
import type { PresetName } from "../model/mod.ts";
import type { PeerInfo, PeerMode } from "./peer.ts";
import type { ProgressListener } from "./preset.ts";
import type { Times } from "./rounds.ts";

export type BenchName = "kernels" | "decode" | "prefill" | "batch" | "attention" | "load";

export const benchNames: readonly BenchName[] = [
  "kernels",
  "decode",
  "prefill",
  "batch",
  "attention",
  "load",
];

export interface BenchOptions {
  readonly bench: BenchName;
  /** A GGUF file; undefined: that of the preset. */
  readonly model: string | undefined;
  readonly preset: PresetName;
  /** Where the files of presets are kept. */
  readonly folder: string;
  readonly format: WeightFormat;
  /** Undefined: one per core. */
  readonly threads: number | undefined;
  /** Sequences that are decoded together, or the rows `kernels` multiplies; undefined: the measurement's own. */
  readonly batch: number | undefined;
  /** Positions, or tokens of the prompt; undefined: the measurement's own. */
  readonly context: number | undefined;
  readonly rounds: number;
  /** Whether llama.cpp takes turns. */
  readonly peer: boolean;
  readonly onProgress: (what: string) => ProgressListener;
}

/** What was measured with llama.cpp. */
export interface PeerOutcome extends PeerInfo {
  /** The faster of its two settings: the one that counts. */
  readonly flashAttention: PeerMode;
  /** Tokens per second of each. */
  readonly tokensPerSecond: Readonly<Record<PeerMode, number>>;
  readonly roundSeconds: Times<PeerMode>;
}

/** What one kind of measurement adds to the report. */
export interface Outcome {
  readonly device: string;
  readonly threads: number;
  readonly peaks: NativePeaks;
  readonly unit: string;
  readonly ours: number;
  readonly peer: PeerOutcome | undefined;
  /** Seconds of our rounds, by what was timed. */
  readonly roundSeconds: Times<string>;
  /** Sizes, medians and fractions of ceilings with their operands. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface BenchReport {
  readonly bench: BenchName;
  readonly unit: string;
  readonly ours: number;
  /** Null where no peer took part. */
  readonly peer: number | null;
  /** Ours over the peer's: higher is better. */
  readonly ratio: number | null;
  readonly model: { readonly name: string; readonly preset: string | null; readonly file: string };
  readonly format: WeightFormat;
  readonly kvFormat: KvFormat;
  readonly device: string;
  readonly threads: number;
  readonly rounds: number;
  /** Per second; pairs are of one thread alone and of all together. */
  readonly ceilings: NativePeaks;
  readonly roundSeconds: Times<string>;
  readonly peerDetails: PeerOutcome | null;
  readonly details: Readonly<Record<string, unknown>>;
}
