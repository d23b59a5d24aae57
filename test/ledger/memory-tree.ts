/** A Merkle tree as RFC 6962 defines it, by recursion over all leaves, and its tiles: nothing shared with the product's. */

import { createHash } from "node:crypto";
import type { TileReader } from "../../src/ledger/mod.ts";

export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash("sha256");
  for (const part of parts) state.update(part);
  return new Uint8Array(state.digest());
}

export class MemoryTree {
  readonly #leaves: readonly Uint8Array[];

  constructor(entries: readonly Uint8Array[]) {
    this.#leaves = entries.map((entry) => hash(Uint8Array.of(0), entry));
  }

  leaf(index: number): Uint8Array {
    return this.#leaves[index] as Uint8Array;
  }

  root(size: number): Uint8Array {
    return size === 0 ? hash() : this.#range(0, size);
  }

  reader(size: number): TileReader {
    return async ({ level, index, width }) => {
      const span = 256 ** (level as number);
      const hashes: Uint8Array[] = [];
      for (let i = 0; i < width; i++) {
        const first = (index * 256 + i) * span;
        if (first + span > size) throw new Error("A hash was asked for that the tree does not have.");
        hashes.push(this.#range(first, first + span));
      }
      return new Uint8Array(Buffer.concat(hashes));
    };
  }

  #range(first: number, end: number): Uint8Array {
    if (end - first === 1) return this.leaf(first);
    let split = 1;
    while (split * 2 < end - first) split *= 2;
    return hash(Uint8Array.of(1), this.#range(first, first + split), this.#range(first + split, end));
  }
}
