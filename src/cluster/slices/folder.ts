/** I/O: the folder of fetched slices: sparse files, each as long as the model's and with the parts that were fetched. */

import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { FETCH_BYTES_DEFAULT, FREE_SHARE } from "./limits.ts";
import { SliceError } from "./peers.ts";

const SUFFIX = ".slice.gguf";
/** Of a file's blocks as the system counts them. */
const BLOCK_BYTES = 512;

interface SliceFile {
  readonly path: string;
  readonly root: string;
  /** On the disk. */
  readonly bytes: number;
  /** Milliseconds since 1970: when it was written, or read, as far as the file system keeps that. */
  readonly used: number;
}

/** Where parts of this model lie already. */
export function sliceFileOf(folder: string, root: string): string | undefined {
  return files(folder)
    .filter((file) => file.root === root)
    .toSorted((a, b) => b.used - a.used)
    .at(0)?.path;
}

/** A path that no other process has: one that reads an older file is not disturbed. */
export function newSliceFile(folder: string, root: string): string {
  return join(folder, `${root}-${randomBytes(4).toString("hex")}${SUFFIX}`);
}

interface RoomWanted {
  readonly folder: string;
  /** What all slices may take; undefined: FETCH_BYTES_DEFAULT, or half of the free disk. */
  readonly bytesMax: number | undefined;
  /** The file that grows, and by how much. */
  readonly path: string;
  readonly bytes: number;
}

/**
 * Makes room for a file to grow: those of other models, used longest ago, go first. Whether there is room then; not where the file
 * itself has too much of other slices. SliceError where the disk is full.
 */
export function makeSliceRoom({ folder, bytesMax, path, bytes }: RoomWanted): boolean {
  const all = files(folder);
  let held = all.reduce((sum, file) => sum + file.bytes, 0);
  const free = freeBytes(folder);
  const most = bytesMax ?? Math.min(FETCH_BYTES_DEFAULT, (free + held) * FREE_SHARE);
  let freed = 0;
  for (const file of all.filter((other) => other.path !== path).toSorted((a, b) => a.used - b.used)) {
    if (held + bytes <= most && bytes <= free + freed) break;
    rmSync(file.path, { force: true });
    held -= file.bytes;
    freed += file.bytes;
  }
  if (held + bytes > most) return false;
  if (bytes <= free + freed) return true;
  throw new SliceError(`${folder} has ${free + freed} bytes free; the slice takes ${bytes} more.`);
}

/** How much slices may take in this folder. */
export function sliceBytesMax(folder: string, bytesMax: number | undefined): number {
  const held = files(folder).reduce((sum, file) => sum + file.bytes, 0);
  return bytesMax ?? Math.min(FETCH_BYTES_DEFAULT, (freeBytes(folder) + held) * FREE_SHARE);
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function files(folder: string): SliceFile[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .flatMap((name) => {
      const path = join(folder, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat?.isFile() !== true) return [];
      const root = name.slice(0, name.indexOf("-"));
      return [{ path, root, bytes: stat.blocks * BLOCK_BYTES, used: Math.max(stat.mtimeMs, stat.atimeMs) }];
    });
}
