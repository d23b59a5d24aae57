/** I/O: the folder of packed weights: what is in it, and what has to go so that it stays within its bounds. */

import { mkdirSync, readdirSync, rmSync, statfsSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { openEntry, UNFINISHED } from "./entry.ts";
import { CACHE_BYTES_DEFAULT, FREE_SHARE, UNFINISHED_MS } from "./limits.ts";

export const SUFFIX = ".packed";

interface FolderFile {
  readonly path: string;
  readonly bytes: number;
  /** Milliseconds since 1970: the last write or `markUsed`. */
  readonly used: number;
}

/** A model's packed weights, as `claw cache list` shows them. */
export interface PackedListing extends FolderFile {
  /** Undefined where the file cannot be read. */
  readonly model: string | undefined;
  readonly format: string | undefined;
  readonly digest: string | undefined;
  readonly version: string | undefined;
}

/** What the folder holds, the last used first; nothing where there is no folder. */
export function listPacked(folder: string): PackedListing[] {
  return files(folder, SUFFIX)
    .toSorted((a, b) => b.used - a.used)
    .map((file) => ({ ...file, ...described(file.path) }));
}

/** Removes all of them, and what was begun; the files that are gone. Throws what the system says. */
export function clearPacked(folder: string): { readonly files: number; readonly bytes: number } {
  const gone = [...files(folder, SUFFIX), ...files(folder, UNFINISHED)];
  for (const { path } of gone) rmSync(path, { force: true });
  return { files: gone.length, bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Notes that an entry was used now. */
export function markUsed(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

/**
 * Makes the folder, and room in it for a file of `bytes` at `path`: those used longest ago go first. False where the bounds
 * leave no room even so. Throws what the system says.
 */
export function makeRoom(
  path: string,
  bytes: number,
  options: { folder: string; bytesMax?: number | undefined },
): boolean {
  const { folder } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const file of files(folder, UNFINISHED)) {
    if (Date.now() - file.used > UNFINISHED_MS) rmSync(file.path, { force: true });
  }
  const present = files(folder, SUFFIX);
  const total = present.reduce((sum, file) => sum + file.bytes, 0);
  const bytesMax = options.bytesMax ?? usualBytesMax(folder, total);
  if (bytes > bytesMax) return false;
  // The file at `path` gives way to the new one.
  const others = present.filter((file) => file.path !== path).toSorted((a, b) => a.used - b.used);
  let held = others.reduce((sum, file) => sum + file.bytes, 0);
  for (const file of others) {
    if (held + bytes <= bytesMax) break;
    rmSync(file.path, { force: true });
    held -= file.bytes;
  }
  return true;
}

function usualBytesMax(folder: string, held: number): number {
  const { bavail, bsize } = statfsSync(folder);
  return Math.min(CACHE_BYTES_DEFAULT, (bavail * bsize + held) * FREE_SHARE);
}

function files(folder: string, suffix: string): FolderFile[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return []; // not made yet
  }
  return names
    .filter((name) => name.endsWith(suffix))
    .flatMap((name) => {
      const path = join(folder, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat?.isFile() === true ? [{ path, bytes: stat.size, used: stat.mtimeMs }] : [];
    });
}

function described(path: string): Pick<PackedListing, "model" | "format" | "digest" | "version"> {
  try {
    const entry = openEntry(path);
    entry?.close();
    const { model, format, digest, version } = entry?.index ?? {};
    return { model, format, digest, version };
  } catch {
    return { model: undefined, format: undefined, digest: undefined, version: undefined };
  }
}
