/** I/O: the engine's thread, with ranks that are processes of this machine. */

import { runEngineThread } from "../../engine/mod.ts";
import { processSource } from "./process-source.ts";

await runEngineThread(processSource);
