/** How a served model is split, and where its parts are computed. */

import { fileURLToPath } from "node:url";
import { rankProcesses } from "../cluster/shards/mod.ts";
import type { EngineOptions, RankOptions, ServeOptions } from "../config/mod.ts";
import type { EngineSettings, Parallelism } from "../engine/mod.ts";

export function parallelismOf({
  tensorParallelismDegree: tensor,
  pipelineParallelismDegree: pipeline,
}: Pick<EngineOptions & RankOptions, "tensorParallelismDegree" | "pipelineParallelismDegree">): Parallelism {
  return { tensor, pipeline };
}

type CopyOptions = Pick<
  ServeOptions,
  "ranksRunIn" | "ranksCopyBytes" | "ranksCopyFolder" | "clusterControl" | "clusterCompute"
>;

/** Where copies of pages are kept: where what computes may be lost without the server. */
export function copySettings(options: CopyOptions): Pick<EngineSettings, "copyBytes" | "copyFolder"> {
  const { ranksRunIn, clusterControl, clusterCompute } = options;
  const onNodes = clusterControl !== undefined && clusterCompute === "nodes";
  if (ranksRunIn === "server" && !onNodes) return {};
  return { copyBytes: options.ranksCopyBytes, copyFolder: options.ranksCopyFolder };
}

/** The engine's settings that follow. */
export function rankSettings(
  options: EngineOptions & RankOptions & CopyOptions,
): Pick<EngineSettings, "parallelism" | "source" | "copyBytes" | "copyFolder"> {
  const settings = { parallelism: parallelismOf(options), ...copySettings(options) };
  if (options.ranksRunIn === "server") return settings;
  const command = [fileURLToPath(new URL("../../claw", import.meta.url))];
  const source = rankProcesses({ command, spare: options.ranksSpare, link: options.ranksLink });
  return { ...settings, source };
}
