/** I/O: the engine's thread, with all of the model in this process. */

import { LocalSource } from "./local-source.ts";
import { runEngineThread } from "./service.ts";

await runEngineThread((settings, listener) => new LocalSource(settings, listener));
