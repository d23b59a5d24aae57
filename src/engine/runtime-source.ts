/** Where an engine's runtimes come from: the engine's own process, ranks on this machine, nodes of a cluster. */

import type { Runtime } from "./runtime.ts";

/** How many ways a model is split; the answers are the same. */
export interface Parallelism {
  /** Shards that lie side by side in every layer. */
  readonly tensor: number;
  /** Stages of layers that follow one another. */
  readonly pipeline: number;
}

/** What computes in a runtime, for whoever operates it. */
export interface RuntimeReport {
  /** `cpu-avx512`, `reference`, … */
  readonly device: string;
  /** Compute threads, of all ranks together. */
  readonly threads: number;
  readonly weightBytes: number;
  readonly bufferBytes: number;
  /** Where the packed weights came from. */
  readonly weights: "cache" | "model";
  /** Something the operator should know, such as a fallback to the reference. */
  readonly warning: string | undefined;
}

/** A runtime that is open, and may be lost. */
export interface OpenRuntime extends Runtime {
  readonly report: RuntimeReport;
  /**
   * Aborted when no step can succeed any more, whether one runs or not; its reason is a ClawError: E_LINK when a rank was
   * lost, which costs no request anything, else what went wrong with the work itself.
   */
  readonly lost: AbortSignal;
  /** Ends what computes, and whatever does not end by itself. What it may still say is heard by nobody. */
  close(): Promise<void>;
}

/**
 * Opens runtimes of one model. Whatever its ranks are, what they compute is the same to the last bit, so an engine goes from
 * one runtime to the next between two steps. Several may be open at a time.
 */
export interface RuntimeSource {
  /**
   * Opens a runtime beside those that are open. `parallelism`: how the model is to be split, for those who are told; a source
   * whose ranks are planned elsewhere takes it for a wish. Errors: E_PLACEMENT, E_MEMORY, E_LINK, and what loading refuses.
   */
  open(parallelism: Parallelism): Promise<OpenRuntime>;
  /** Names who is to be told when `open` would open another runtime than the one that is open, which still runs. */
  onChange?(listener: () => void): void;
  /** Lets go of what it keeps beside the runtimes it opened. */
  close(): Promise<void>;
}
