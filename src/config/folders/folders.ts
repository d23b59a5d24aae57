/** I/O: where this user's state and caches lie (XDG Base Directory Specification 0.8). */

import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { ClawError } from "../../base/mod.ts";

/** Only this user may look inside. */
const FOLDER_MODE = 0o700;

export function stateFolder(): string {
  return xdgFolder("XDG_STATE_HOME", [".local", "state"]);
}

export function cacheFolder(): string {
  return xdgFolder("XDG_CACHE_HOME", [".cache"]);
}

/** Packed weights of models, by far the largest of the caches. */
export function packedFolder(): string {
  return join(cacheFolder(), "packed");
}

/** The specification has relative paths in the variables ignored. */
function xdgFolder(variable: string, usual: readonly string[]): string {
  const given = process.env[variable] ?? "";
  return join(isAbsolute(given) ? given : join(homedir(), ...usual), "openclaw");
}

/** Makes a folder that can be done without; whether it is there. */
export function makePrivateFolder(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    return true;
  } catch {
    return false;
  }
}

/** Makes the state folder where it is missing and lets `use` work in it. Errors: E_STATE_DIR, naming the folder. */
export function withStateFolder<T>(folder: string, use: (folder: string) => T): T {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
    return use(folder);
  } catch (error) {
    if (error instanceof ClawError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_STATE_DIR", `Cannot keep state in ${folder}: ${reason}.`, { cause: error });
  }
}
