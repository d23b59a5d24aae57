/** I/O: tells whether a model file is the one that was packed: at once by signs, or surely by all of its bytes. */

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import type { ModelFile } from "../program/mod.ts";
import { PIECE_BYTES, SAMPLE_BYTES, SAMPLES } from "./limits.ts";

/** What changes when a file is replaced or written to. docs/decisions/0008-packed-cache.md says how far that goes. */
export interface ModelIdentity {
  readonly device: string;
  readonly inode: string;
  readonly size: string;
  /** Nanoseconds. */
  readonly modified: string;
  readonly changed: string;
  /** SHA-256 over the header and blocks spread over the tensors. */
  readonly sample: string;
}

/** Reads the header and SAMPLES blocks. Errors: E_FILE. */
export function identify({ gguf, source }: Pick<ModelFile, "gguf" | "source">): ModelIdentity {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(source.name, { bigint: true });
  const hash = createHash("sha256");
  const take = (from: number, end: number): void => {
    for (let at = from; at < end; at += PIECE_BYTES) {
      hash.update(source.read(at, Math.min(PIECE_BYTES, end - at)));
    }
  };
  const start = Math.min(gguf.dataOffset, source.size);
  const last = Math.max(start, source.size - SAMPLE_BYTES);
  take(0, start);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const from = start + Math.floor(((last - start) * sample) / (SAMPLES - 1));
    take(from, Math.min(source.size, from + SAMPLE_BYTES));
  }
  const text = (value: bigint): string => value.toString();
  return {
    device: text(dev),
    inode: text(ino),
    size: text(size),
    modified: text(mtimeNs),
    changed: text(ctimeNs),
    sample: hash.digest("hex"),
  };
}

export function sameIdentity(a: ModelIdentity, b: ModelIdentity): boolean {
  const names = ["device", "inode", "size", "modified", "changed", "sample"] as const;
  return names.every((name) => a[name] === b[name]);
}

/** SHA-256 over the whole file, as `sha256sum` prints it; reads while others work. Throws the reason of `signal`. */
export async function contentDigest(path: string, signal?: AbortSignal): Promise<string> {
  const file = await open(path);
  try {
    const hash = createHash("sha256");
    const piece = new Uint8Array(PIECE_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
