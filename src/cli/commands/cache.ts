/** I/O: `claw cache`: the packed weights that are kept between starts. */

import { ClawError } from "../../base/mod.ts";
import { packedFolder } from "../../config/folders/mod.ts";
import { switchOption, twoColumns } from "../../config/mod.ts";
import { clearPacked, listPacked, type PackedListing } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { formatBytes } from "../numbers.ts";
import { print, printJson } from "../terminal.ts";

interface CacheOptions {
  readonly json: boolean;
}

const options = { json: switchOption("json", "print an object") };

export const cacheList: Command = defineCommand<CacheOptions>({
  name: "cache list",
  summary: "Lists the packed weights that are kept between starts, the last used first.",
  options,
  run: ({ json }) => {
    const folder = packedFolder();
    const entries = listPacked(folder);
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    if (json) {
      const listed = entries.map((entry) => ({ ...entry, used: new Date(entry.used).toISOString() }));
      return printJson({ folder, bytes, entries: listed });
    }
    const rows = entries.map((entry): [string, string] => [formatBytes(entry.bytes), described(entry)]);
    return print(`${folder}: ${formatBytes(bytes)}\n${rows.length === 0 ? "" : `${twoColumns(rows)}\n`}`);
  },
});

export const cacheClear: Command = defineCommand<CacheOptions>({
  name: "cache clear",
  summary: "Removes all packed weights; models are packed again when they are next started.",
  options,
  run: ({ json }) => {
    const folder = packedFolder();
    const cleared = clear(folder);
    if (json) return printJson({ folder, ...cleared });
    const { files, bytes } = cleared;
    return print(`Removed ${files} file${files === 1 ? "" : "s"}, ${formatBytes(bytes)}.\n`);
  },
});

function described({ path, model, format, used }: PackedListing): string {
  const what = model === undefined ? `${path} (unreadable)` : `${model} as ${format}`;
  return `${what}, last used ${new Date(used).toISOString()}`;
}

/** Errors: E_FILE. */
function clear(folder: string): ReturnType<typeof clearPacked> {
  try {
    return clearPacked(folder);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot remove packed weights in ${folder}: ${reason}.`, { cause: error });
  }
}
