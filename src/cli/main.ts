/** I/O: where the process starts: keeps compiled sources between starts, then runs the command line. */

import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { cacheFolder, makePrivateFolder } from "../config/folders/mod.ts";

// The sources are TypeScript; reading each one anew would take most of a short command's time.
const cache = join(cacheFolder(), "code");
if (makePrivateFolder(cache)) {
  enableCompileCache(cache);
  // Threads read it here; somebody may have named another folder, which is in use then.
  process.env["NODE_COMPILE_CACHE"] ??= cache;
}

const { runCommandLine } = await import("./command-line.ts");
process.exit(await runCommandLine(process.argv.slice(2)));
