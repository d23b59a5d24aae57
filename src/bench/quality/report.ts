/** What a measurement of quality says. */

import type { WeightFormat } from "../../kernels/mod.ts";

/** Formats that lose something. */
export type LossyFormat = Exclude<WeightFormat, "f16">;

/** The file type of llama.cpp that is as wide as each. */
export const peerTypes: Readonly<Record<LossyFormat, "q8_0" | "q4_0">> = { i8: "q8_0", i4: "q4_0" };

/** `usual`: llama.cpp gives some tensors finer types than asked for; `pure`: one type for all, as ours are. */
export type Mixture = "usual" | "pure";

export interface QualityReport {
  readonly bench: "divergence" | "perplexity";
  readonly unit: string;
  readonly ours: number;
  /** Null where no peer took part. */
  readonly peer: number | null;
  /** Ours over the peer's: lower is better. */
  readonly ratio: number | null;
  readonly model: { readonly preset: string | null; readonly file: string };
  readonly format: LossyFormat;
  readonly device: string;
  readonly threads: number;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What llama.cpp made of a file; see tools/peer/quantize.cc. */
export interface Quantized {
  readonly type: string;
  readonly mixture: Mixture;
  /** How many matrices have which type. */
  readonly matrices: Readonly<Record<string, number>>;
  /** Matrices that got another type: by llama.cpp's choice, or because its blocks do not divide their rows. */
  readonly others: readonly { readonly name: string; readonly type: string }[];
}
