/** I/O: what goes to the peer and comes back in files. */

import { readFileSync, writeFileSync } from "node:fs";

export function writeTokens(path: string, tokens: Int32Array): void {
  writeFileSync(path, JSON.stringify([...tokens]));
}

/** Rows of `vocabulary` little-endian f32 logits. */
export function readRows(path: string, vocabulary: number): readonly Float32Array[] {
  const values = new Float32Array(new Uint8Array(readFileSync(path)).buffer);
  return Array.from({ length: values.length / vocabulary }, (_, row) =>
    values.subarray(row * vocabulary, (row + 1) * vocabulary),
  );
}
