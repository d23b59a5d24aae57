/** How a served model is split, and where its parts are computed. */

import { fileURLToPath } from "node:url";
import { rankProcesses } from "../cluster/shards/mod.ts";
import type { EngineOptions, RankOptions } from "../config/mod.ts";
import type { EngineSettings, Parallelism } from "../engine/mod.ts";

export function parallelismOf({
  tensorParallelismDegree: tensor,
  pipelineParallelismDegree: pipeline,
}: Pick<EngineOptions & RankOptions, "tensorParallelismDegree" | "pipelineParallelismDegree">): Parallelism {
  return { tensor, pipeline };
}

/** The engine's settings that follow. */
export function rankSettings(
  options: EngineOptions & RankOptions,
): Pick<EngineSettings, "parallelism" | "source" | "copyBytes" | "copyFolder"> {
  const parallelism = parallelismOf(options);
  if (options.ranksRunIn === "server") return { parallelism };
  const command = [fileURLToPath(new URL("../../claw", import.meta.url))];
  const source = rankProcesses({ command, spare: options.ranksSpare, link: options.ranksLink });
  const { ranksCopyBytes: copyBytes, ranksCopyFolder: copyFolder } = options;
  return { parallelism, source, copyBytes, copyFolder };
}
