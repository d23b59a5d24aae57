/** I/O: files that commands are told to read. */

import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ClawError } from "../base/mod.ts";

const modelsFolder = fileURLToPath(new URL("../../models", import.meta.url));

/** The model that comes with the project: what is used where no other is there. */
const BUNDLED = "tales";

/** The model to use: the one named, else the only one in models/, else the one that comes with the project. Errors: E_NO_MODEL. */
export function chooseModel(named: string | undefined, folder: string = modelsFolder): string {
  if (named !== undefined) return named;
  const own = globSync("*.gguf", { cwd: folder });
  const found = (own.length > 0 ? own : globSync(`${BUNDLED}/*.gguf`, { cwd: folder })).sort();
  const [first] = found;
  if (first === undefined) throw new ClawError("E_NO_MODEL", `No model was named, and ${folder} has none.`);
  if (found.length === 1) return join(folder, first);
  const names = found.map((path) => basename(path)).join(", ");
  throw new ClawError("E_NO_MODEL", `No model was named, and ${folder} has several: ${names}.`);
}

/** Errors: E_FILE. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot read ${path}: ${reason}.`, { cause: error });
  }
}
