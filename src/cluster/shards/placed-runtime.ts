/** A placement as a runtime for an engine, wherever its ranks are. */

import { ClawError } from "../../base/mod.ts";
import { type OpenRuntime, type RuntimeOptions, type RuntimeReport, sizeRuntime } from "../../engine/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { compile, type ModelDescription, type Placement, type RankProgram } from "../../model/mod.ts";
import { MICRO_BATCH_ROWS } from "./limits.ts";
import { PlacedExecutable } from "./placed-executable.ts";
import type { RankSizes } from "./rank.ts";

/** A model over the ranks of a placement, as an engine takes it. */
export interface PlacedRuntime extends OpenRuntime {
  readonly executable: PlacedExecutable;
  /** Preempted sequences are computed again: pages stay with their ranks. */
  readonly swapBytes: 0;
}

/** Ranks that are ready. */
export interface JoinedRanks {
  /** By rank. */
  readonly links: readonly RankLink[];
  readonly report: RuntimeReport;
  /** Lets go of them after they were told to end; those of a lost runtime were told nothing, and may not end by themselves. */
  end(lost: boolean): Promise<void>;
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
  join(ranks: JoinedRanks): PlacedRuntime;
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
  const join = ({ links, report, end }: JoinedRanks): PlacedRuntime => {
    const ranks = links.map((link, rank) => ({ rank: programs[rank] as RankProgram, link }));
    const { vocabulary } = model;
    const executable = new PlacedExecutable({ ranks, sizes, vocabulary, pageBytes, microBatchRows });
    const close = async (): Promise<void> => {
      await executable.end();
      await end(executable.lost.aborted);
    };
    const { lost } = executable;
    return { ...runtime, adapters: [], executable, kv: executable, swapBytes: 0, report, lost, close };
  };
  return { programs, sizes, join };
}
