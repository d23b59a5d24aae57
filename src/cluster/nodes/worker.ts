/** I/O: the engine's thread of a server whose model runs on the nodes of a cluster. */

import { runEngineThread } from "../../engine/mod.ts";
import { ClusterSource } from "./source.ts";
import type { SourceOptions } from "./work.ts";

await runEngineThread((settings, { onNote }) => {
  return new ClusterSource({ settings, options: settings.source?.options as SourceOptions, onNote });
});
