/** I/O: hashes chunks of an open file on this thread, as the leaves of a tensor's tree. */

import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { ClawError } from "../../base/mod.ts";
import { CHUNK_BYTES, PIECE_BYTES } from "./limits.ts";
import { HASH_BYTES } from "./tree.ts";

interface ChunkTask {
  readonly descriptor: number;
  readonly offset: number;
  readonly length: number;
}

const LEAF = Uint8Array.of(0);

/** The leaf hashes of the chunks in a row, 32 bytes each; what was hashed is kept `into` memory. E_FILE. */
export function hashChunks({ descriptor, offset, length }: ChunkTask, into?: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(HASH_BYTES * Math.ceil(length / CHUNK_BYTES));
  const memory = new Uint8Array(PIECE_BYTES);
  for (let first = 0; first < length; first += CHUNK_BYTES) {
    const hash = createHash("sha256").update(LEAF);
    const end = Math.min(length, first + CHUNK_BYTES);
    for (let at = first; at < end; ) {
      const count = Math.min(PIECE_BYTES, end - at);
      const piece =
        into === undefined || into.length === 0 ? memory.subarray(0, count) : into.subarray(at, at + count);
      readWhole(descriptor, piece, offset + at);
      hash.update(piece);
      at += count;
    }
    hashes.set(hash.digest(), HASH_BYTES * (first / CHUNK_BYTES));
  }
  return hashes;
}

function readWhole(descriptor: number, piece: Uint8Array, offset: number): void {
  try {
    for (let done = 0; done < piece.length; ) {
      const count = readSync(descriptor, piece, done, piece.length - done, offset + done);
      if (count === 0) throw new Error("the file became shorter while it was read");
      done += count;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Hashing the model failed: ${reason}.`, { cause: error });
  }
}
