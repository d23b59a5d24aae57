/**
 * Ranks in processes that somebody started, here or on other hosts: they join, are told what to do, and say when they can
 * run steps. What they make up is a `PlacedRuntime` (`planRanks`).
 */

import { asClawError, type ClawError } from "../../base/mod.ts";
import type { EngineSettings } from "../../engine/mod.ts";
import type { RankLink } from "../../kernels/mod.ts";
import type { ModelSeal, OpenedFile } from "../../model/mod.ts";
import { type LinkPlace, type NodeReport, type NodeTask, receiveHello, sendTask } from "./joining.ts";
import { type Meeting, withinTime } from "./meeting.ts";
import { NativeRankLink } from "./native-rank-link.ts";
import { type PlacedRuntimeOptions, planRanks } from "./placed-runtime.ts";
import { receiveReport } from "./step-message.ts";

export interface RanksOptions extends PlacedRuntimeOptions {
  readonly device: EngineSettings["device"];
  /** Compute threads of each rank. */
  readonly threads: number;
  /** Whether ranks keep their memory out of swap. */
  readonly lockMemory?: boolean | undefined;
  /** What ranks check the model against; undefined: nothing. */
  readonly seal?: ModelSeal | undefined;
  /** Told which rank could not do what it was told, before the others fail with it. */
  readonly onRankFailed?: ((rank: number, error: ClawError) => void) | undefined;
}

/** A rank whose process has joined. */
export interface JoinedRank {
  readonly link: RankLink;
  /** Where other ranks reach it. */
  readonly place: LinkPlace;
}

/** The ranks 0 to `count`, in their order, when all have come to the meeting. E_LINK. */
export async function joinRanks(meeting: Meeting, count: number): Promise<JoinedRank[]> {
  const ranks = new Map<number, JoinedRank>();
  const missing = new Set(Array.from({ length: count }, (_, rank) => rank));
  while (missing.size > 0) {
    const link = new NativeRankLink(await meeting.next("start"));
    const { rank, place } = await withinTime(receiveHello(link, missing), "say who it is");
    missing.delete(rank);
    ranks.set(rank, { link, place });
  }
  return Array.from({ length: count }, (_, rank) => ranks.get(rank) as JoinedRank);
}

/** Has every rank load its slice and link up with its peers. What they say they cannot do; E_LINK, E_PLACEMENT. */
export async function startRanks(
  model: OpenedFile,
  ranks: readonly JoinedRank[],
  options: RanksOptions,
): Promise<NodeReport[]> {
  const { format, placement, device, threads, lockMemory, seal } = options;
  const { sizes } = planRanks(model.description, options);
  const places = ranks.map(({ place }) => place);
  const path = model.source.name;
  const task: NodeTask = { model: path, format, placement, sizes, device, threads, lockMemory, seal, places };
  return Promise.all(
    ranks.map(async ({ link }, rank) => {
      try {
        await sendTask(link, task);
        return (await receiveReport(link)) as NodeReport;
      } catch (error) {
        options.onRankFailed?.(rank, asClawError(error));
        throw error;
      }
    }),
  );
}
