/** What a measurement of serving says, and what it is told. */

import type { WeightFormat } from "../../kernels/mod.ts";
import type { PresetName } from "../../model/mod.ts";
import type { LoadProgress } from "./load.ts";
import type { LoadFigures, Spread } from "./record.ts";
import type { ServerMemory } from "./server.ts";

export interface ServingOptions {
  /** A server that runs already; undefined: one is started. */
  readonly url: string | undefined;
  readonly apiKey: string | undefined;
  readonly model: string | undefined;
  readonly preset: PresetName;
  readonly folder: string;
  readonly format: WeightFormat;
  readonly threads: number | undefined;
  /** Sequences that run together, in our server and the peer's. */
  readonly batch: number;
  readonly concurrency: number;
  readonly rate: number | undefined;
  readonly requests: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly seed: number;
  readonly peer: boolean;
  readonly onProgress: (what: string) => (fraction: number) => void;
  readonly onLoad: (progress: LoadProgress) => void;
}

interface Served {
  readonly model: { readonly preset: string | null; readonly file: string };
  readonly format: string;
  readonly unit: "tokens/s";
  /** Null where the server is not ours to look into. */
  readonly memory: ServerMemory | null;
}

export interface ServingReport extends Served {
  readonly bench: "serve";
  /** Tokens drawn per second. */
  readonly ours: number;
  readonly peer: number | null;
  /** Ours over the peer's: higher is better. */
  readonly ratio: number | null;
  readonly batch: number;
  readonly load: Readonly<Record<string, unknown>>;
  readonly figures: LoadFigures;
  readonly peerFigures: LoadFigures | null;
  readonly peerInfo: unknown;
  /** Share of places that were taken while requests waited or were still to be sent. */
  readonly occupancy: number | null;
  readonly errors: readonly string[];
}

/** Streams that decode, alone and while a backlog of long prompts is read. */
export interface BacklogReport extends Served {
  readonly bench: "serve-backlog";
  /** Prompt tokens per second of the backlog, beside streams and alone. */
  readonly ours: number;
  readonly alone: number;
  /** The first over the second. */
  readonly ratio: number;
  readonly interTokenMs: { readonly alone: Spread; readonly beside: Spread };
  /** The 99th percentile beside a backlog over the median without. */
  readonly p99OverP50: number;
  readonly backlog: Readonly<Record<string, number>>;
}

/** A load that is recorded in a ledger, and the same load without one. */
export interface RecordingReport extends Served {
  readonly bench: "serve-ledger";
  /** Tokens drawn per second with the ledger on and off: medians of the rounds. */
  readonly ours: number;
  readonly off: number;
  /** The median of the rounds' ratios, on over off. */
  readonly ratio: number;
  readonly rounds: readonly { readonly on: number; readonly off: number; readonly ratio: number }[];
  readonly batch: number;
  readonly load: Readonly<Record<string, unknown>>;
  /** Entries that were recorded. */
  readonly entries: number;
  /** Of all rounds together. */
  readonly figures: LoadFigures;
  readonly offFigures: LoadFigures;
  readonly errors: readonly string[];
}
