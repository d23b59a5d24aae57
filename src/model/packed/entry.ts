/** I/O: files of packed weights, opened to be read and written anew. */

import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import type { PackedMatrices } from "../../kernels/mod.ts";
import {
  alignOffset,
  decodeIndex,
  encodeIndex,
  type PackedIndex,
  type PackedMatrix,
  Unusable,
} from "./index-format.ts";
import { PIECE_BYTES } from "./limits.ts";

/** A file that is open: it stays what it is, even when another one takes its place in the folder. */
export interface PackedEntry {
  readonly index: PackedIndex;
  readonly descriptor: number;
  close(): void;
}

/** Opens a file of packed weights; undefined where there is none. Throws Unusable, or what the system says. */
export function openEntry(path: string): PackedEntry | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const index = decodeIndex(fstatSync(descriptor).size, (offset, length) =>
      readAll(descriptor, offset, length),
    );
    return { index, descriptor, close: () => closeSync(descriptor) };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function readAll(descriptor: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const count = readSync(descriptor, bytes, done, length - done, offset + done);
    if (count === 0) throw new Unusable("it is cut short");
    done += count;
  }
  return bytes;
}

/** A matrix that lies packed in a device's memory. */
export interface LoadedMatrix {
  readonly key: string;
  readonly id: number;
  /** Of its bytes; of sealed models. */
  readonly sha256: string | undefined;
}

/**
 * Writes matrices and their index beside `path`, and gives the file that name when it is whole and on the disk. `describe` is
 * asked for the rest of the index after the matrices are written. Throws what the system says; then nothing is left.
 */
export async function writeEntry(
  path: string,
  contents: { readonly packed: PackedMatrices; readonly matrices: readonly LoadedMatrix[] },
  describe: (matrices: readonly PackedMatrix[]) => Promise<PackedIndex>,
): Promise<void> {
  const unfinished = unfinishedName(path);
  const file = await open(unfinished, "wx", 0o600);
  try {
    try {
      const { matrices, end } = await writeMatrices(file, contents);
      await writeAll(file, encodeIndex(await describe(matrices)), end);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

export const UNFINISHED = ".unfinished";

/** Several processes may write the same entry at once. */
function unfinishedName(path: string): string {
  return `${path}.${randomUUID()}${UNFINISHED}`;
}

async function writeMatrices(
  file: FileHandle,
  { packed, matrices }: { readonly packed: PackedMatrices; readonly matrices: readonly LoadedMatrix[] },
): Promise<{ readonly matrices: PackedMatrix[]; readonly end: number }> {
  const written: PackedMatrix[] = [];
  let end = 0;
  for (const { key, id, sha256 } of matrices) {
    const bytes = packed.bytes(id);
    const offset = alignOffset(end);
    await writeAll(file, bytes, offset);
    written.push({ key, offset, bytes: bytes.length, checksum: packed.checksum(bytes), sha256 });
    end = offset + bytes.length;
  }
  return { matrices: written, end };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const piece = bytes.subarray(done, done + PIECE_BYTES);
    done += (await file.write(piece, 0, piece.length, offset + done)).bytesWritten;
  }
}
