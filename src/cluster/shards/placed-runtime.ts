/** A placement as a runtime for an engine, wherever its ranks are. */

import { ClawError } from "../../base/mod.ts";
import {
  type OpenRuntime,
  type PageCopies,
  type RuntimeOptions,
  type RuntimeReport,
  sizeRuntime,
} from "../../engine/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import { compile, type ModelDescription, type Placement, type RankProgram } from "../../model/mod.ts";
import { joinedReport, type NodeReport } from "./joining.ts";
import { LANE_SEQUENCES, MICRO_BATCH_ROWS } from "./limits.ts";
import { type PageShape, pageShape } from "./page-parts.ts";
import { PlacedExecutable } from "./placed-executable.ts";
import type { RankSizes } from "./rank.ts";
import { RankWatch } from "./rank-watch.ts";

/** A model over the ranks of a placement, as an engine takes it. */
export interface PlacedRuntime extends OpenRuntime {
  readonly executable: PlacedExecutable;
  /** As many as a step may be under way in a stage of its own. */
  readonly beside: readonly PlacedExecutable[];
  readonly laneSequences: number;
  /** Preempted sequences are computed again: pages stay with their ranks. */
  readonly swapBytes: 0;
}

/** Ranks that are ready. */
export interface JoinedRanks {
  /** By rank. */
  readonly links: readonly RankLink[];
  readonly reports: readonly NodeReport[];
  /** Lets go of them after they were told to end; those of a lost runtime were told nothing, and may not end by themselves. */
  end(lost: boolean): Promise<void>;
}

export interface PlacedRuntimeOptions extends Omit<RuntimeOptions, "degree" | "packed" | "tensors"> {
  readonly placement: Placement;
  /** Intervals between the beats of ranks before these, if they were alike; what is seen of these is added. */
  readonly beatIntervals?: number[] | undefined;
  /** Sequences of a step at least where others are under way beside it; undefined: LANE_SEQUENCES. */
  readonly laneSequences?: number | undefined;
  /** Rows of a micro-batch at least; undefined: MICRO_BATCH_ROWS. */
  readonly microBatchRows?: number | undefined;
  /** Pages that are copied out at a time at most; undefined: as the engine has it. */
  readonly copiesAtOnce?: number | undefined;
}

/** What is to be started. */
export interface PlacedPlan {
  readonly programs: readonly RankProgram[];
  readonly sizes: RankSizes;
  join(ranks: JoinedRanks): PlacedRuntime;
}

/** What is kept on one kind of device is no use on another. */
function copiesOf(
  executable: PlacedExecutable,
  shape: PageShape,
  { device, atOnce }: Pick<RuntimeReport, "device"> & Pick<PageCopies, "atOnce">,
): PageCopies {
  const kind = JSON.stringify([device === "reference", shape]);
  return {
    ...{ kind, atOnce },
    read: (page) => executable.copyOut(page),
    write: (page, bytes) => executable.copyIn(page, bytes),
  };
}

/** Their matrices would have to be split, too. E_PLACEMENT where there are any. */
export function refuseAdapters(count: number): void {
  if (count === 0) return;
  const remedy =
    "serve it from one process, or merge the adapter into the model (claw model export --adapter)";
  throw new ClawError("E_PLACEMENT", `A model that is split over processes takes no adapters: ${remedy}.`);
}

/** E_PLACEMENT, E_CONTEXT, E_MEMORY. */
export function planRanks(model: ModelDescription, options: PlacedRuntimeOptions): PlacedPlan {
  const { format, placement, microBatchRows = MICRO_BATCH_ROWS, adapters = [] } = options;
  refuseAdapters(adapters.length);
  const programs = compile(model, { format, placement });
  const { limits, ...runtime } = sizeRuntime(model, options);
  const { positions, kvFormat, pagesMax, pageBytes } = runtime;
  const sizes = { limits, positions, kvFormat, pagesMax };
  const join = ({ links, reports, end }: JoinedRanks): PlacedRuntime => {
    const ranks = links.map((link, rank) => ({ rank: programs[rank] as RankProgram, link }));
    const { vocabulary } = model;
    const watch = new RankWatch((error) => executable.lose(error), options.beatIntervals);
    const shape = pageShape(
      programs,
      reports.map((each) => each.pageBytes),
      model,
    );
    const placed = { ranks, sizes, vocabulary, pageBytes, shape, microBatchRows, watch };
    const executable = new PlacedExecutable(placed);
    const { lost } = executable;
    const close = async (): Promise<void> => {
      watch.close();
      await executable.end();
      await end(lost.aborted);
    };
    const report = joinedReport(reports);
    const copies =
      shape && copiesOf(executable, shape, { device: report.device, atOnce: options.copiesAtOnce });
    const common = { adapters: [], kv: executable, swapBytes: 0, copies } as const;
    const stages = placement.stages.length;
    const beside = Array.from({ length: stages - 1 }, () => executable.beside());
    const { laneSequences = LANE_SEQUENCES } = options;
    return { ...runtime, ...common, executable, beside, laneSequences, report, lost, close };
  };
  return { programs, sizes, join };
}
