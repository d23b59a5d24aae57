/** A placement as a runtime for an engine, wherever its ranks are. */

import { ClawError } from "../../base/mod.ts";
import { type Runtime, type RuntimeOptions, sizeRuntime } from "../../engine/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { compile, type ModelDescription, type Placement, type RankProgram } from "../../model/mod.ts";
import { MICRO_BATCH_ROWS } from "./limits.ts";
import { PlacedExecutable } from "./placed-executable.ts";
import type { RankSizes } from "./rank.ts";

/** A model over the ranks of a placement, as an engine takes it. */
export interface PlacedRuntime extends Runtime {
  readonly executable: PlacedExecutable;
  /** Preempted sequences are computed again: pages stay with their ranks. */
  readonly swapBytes: 0;
  /** Ends the ranks. */
  close(): Promise<void>;
}

export interface PlacedRuntimeOptions extends Omit<RuntimeOptions, "degree" | "packed" | "tensors"> {
  readonly placement: Placement;
  /** Rows of a micro-batch at least; undefined: MICRO_BATCH_ROWS. */
  readonly microBatchRows?: number | undefined;
}

/** What is to be started. */
export interface PlacedPlan {
  readonly programs: readonly RankProgram[];
  readonly sizes: RankSizes;
  /** The runtime of ranks that are ready, by the links to them. */
  join(links: readonly RankLink[], end: () => Promise<void>): PlacedRuntime;
}

/** E_PLACEMENT, E_CONTEXT, E_MEMORY. */
export function planRanks(model: ModelDescription, options: PlacedRuntimeOptions): PlacedPlan {
  const { format, placement, microBatchRows = MICRO_BATCH_ROWS, adapters = [] } = options;
  if (adapters.length > 0) {
    const remedy =
      "serve it from one process, or merge the adapter into the model (claw model export --adapter)";
    throw new ClawError("E_PLACEMENT", `A model that is split over processes takes no adapters: ${remedy}.`);
  }
  const programs = compile(model, { format, placement });
  const { limits, ...runtime } = sizeRuntime(model, options);
  const { positions, kvFormat, pagesMax, pageBytes } = runtime;
  const sizes = { limits, positions, kvFormat, pagesMax };
  const join = (links: readonly RankLink[], end: () => Promise<void>): PlacedRuntime => {
    const ranks = links.map((link, rank) => ({ rank: programs[rank] as RankProgram, link }));
    const { vocabulary } = model;
    const executable = new PlacedExecutable({ ranks, sizes, vocabulary, pageBytes, microBatchRows });
    const close = async (): Promise<void> => {
      await executable.end();
      await end();
    };
    return { ...runtime, adapters: [], executable, kv: executable, swapBytes: 0, close };
  };
  return { programs, sizes, join };
}
