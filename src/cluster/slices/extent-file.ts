/** I/O: reads and writes extents of files. */

import type { FileHandle } from "node:fs/promises";
import { ClawError } from "../../base/mod.ts";
import { type Extent, extentBytes } from "./extent.ts";
import { PIECE_BYTES_MAX } from "./limits.ts";

/** Reads an extent's runs, one after another. E_FILE where the file is shorter. */
export async function readExtent(file: FileHandle, extent: Extent, into: Uint8Array): Promise<Uint8Array> {
  const { offset, length, stride, count } = extent;
  // Runs that lie close are read with what is between them.
  const together = Math.max(1, Math.floor((PIECE_BYTES_MAX - length) / stride) + 1);
  const span = new Uint8Array(together === 1 ? 0 : (Math.min(together, count) - 1) * stride + length);
  for (let first = 0; first < count; first += together) {
    const runs = Math.min(together, count - first);
    const from = offset + first * stride;
    if (runs === 1) {
      await readWhole(file, into.subarray(first * length, (first + 1) * length), from);
      continue;
    }
    await readWhole(file, span.subarray(0, (runs - 1) * stride + length), from);
    for (let run = 0; run < runs; run++) {
      into.set(span.subarray(run * stride, run * stride + length), (first + run) * length);
    }
  }
  return into.subarray(0, extentBytes(extent));
}

/** Writes an extent's runs. Throws what the system says. */
export async function writeExtent(file: FileHandle, extent: Extent, bytes: Uint8Array): Promise<void> {
  const { offset, length, stride, count } = extent;
  if (count === 1 || stride === length) return writeWhole(file, bytes, offset);
  for (let run = 0; run < count; run++) {
    await writeWhole(file, bytes.subarray(run * length, (run + 1) * length), offset + run * stride);
  }
}

async function readWhole(file: FileHandle, into: Uint8Array, from: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, from + done);
    if (bytesRead === 0) throw new ClawError("E_FILE", "A model file became shorter while it was read.");
    done += bytesRead;
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, to: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, to + done)).bytesWritten;
  }
}
