/** I/O: writes a GGUF file, in memory bounded by its header and one chunk. */

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { pid } from "node:process";
import { ClawError } from "../../base/mod.ts";
import { type GgufContent, type GgufLayout, layoutGguf } from "./encode.ts";

export interface GgufWriteOptions extends GgufContent {
  /** Called after each chunk. */
  onProgress?(bytesWritten: number, bytesTotal: number): void;
}

/**
 * Writes the file under a temporary name beside `path`, flushes it to the disk and renames it, so that a file of
 * that name is whole. On failure the temporary file is removed. Errors: E_FILE.
 */
export function writeGguf(path: string, options: GgufWriteOptions): void {
  const layout = layoutGguf(options);
  const temporary = `${path}.partial-${pid}`;
  try {
    writeLayout(temporary, layout, options);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (error instanceof Error && "syscall" in error) {
      throw new ClawError("E_FILE", `Cannot write ${path}: ${error.message}.`, { cause: error });
    }
    throw error;
  }
}

function writeLayout(path: string, layout: GgufLayout, options: GgufWriteOptions): void {
  const descriptor = openSync(path, "w");
  try {
    let written = 0;
    for (const chunk of layout.chunks()) {
      for (let done = 0; done < chunk.length; ) done += writeSync(descriptor, chunk, done);
      written += chunk.length;
      options.onProgress?.(written, layout.byteLength);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
