/** I/O: runs the independent oracle of tools/peer, which a checkout may lack. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const script = fileURLToPath(new URL("../tools/peer/oracle.mjs", import.meta.url));
const modules = new URL("../tools/peer/node_modules/node-llama-cpp/", import.meta.url);
// Ids of a long text come back on stdout: eight bytes for each of a few million.
const outputBytesMax = 1 << 25;

export function peerInstalled(): boolean {
  return existsSync(modules);
}

/** The JSON object that `oracle.mjs command --name value ...` prints; a value of `true` makes a bare flag. */
export async function oracle(
  command: string,
  args: Readonly<Record<string, string | number | true>>,
): Promise<unknown> {
  const flags = Object.entries(args).map(([name, value]) =>
    value === true ? `--${name}` : `--${name}=${value}`,
  );
  const options = { maxBuffer: outputBytesMax };
  const { stdout } = await promisify(execFile)(process.execPath, [script, command, ...flags], options);
  return JSON.parse(stdout);
}
