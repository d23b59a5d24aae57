/** Inclusion and consistency proofs from the tiles of a log (RFC 6962, sections 2.1.1 and 2.1.2). */

import { assert, ClawError } from "../base/mod.ts";
import { HASH_BYTES } from "../crypto/mod.ts";
import { TILE_WIDTH } from "./limits.ts";
import { leavesPerHash, type TileName, tileWidth } from "./tiles.ts";
import { subtreeRoot } from "./tree-edge.ts";

/** Fetches a tile of hashes: from a disk, from a server. Nothing it returns is trusted before the proof is verified. */
export type TileReader = (tile: TileName) => Promise<Uint8Array>;

/** The hashes that lead from entry `index` to the root of the first `size` entries, from the bottom up. */
export async function inclusionProof(index: number, size: number, read: TileReader): Promise<Uint8Array[]> {
  if (index < 0 || index >= size)
    throw new ClawError("E_PROOF", `A tree of ${size} entries has no entry ${index}.`);
  const tree = new TiledTree(size, read);
  const proof: Uint8Array[] = [];
  for (let [first, end] = [0, size]; end - first > 1; ) {
    const middle = first + splitPoint(end - first);
    if (index < middle) {
      proof.push(await tree.root(middle, end));
      end = middle;
    } else {
      proof.push(await tree.root(first, middle));
      first = middle;
    }
  }
  return proof.reverse();
}

/** The hashes that show the first `older` entries to be the beginning of the first `newer`. */
export async function consistencyProof(
  older: number,
  newer: number,
  read: TileReader,
): Promise<Uint8Array[]> {
  if (older < 0 || older > newer)
    throw new ClawError("E_PROOF", `${newer} entries do not begin with ${older}.`);
  if (older === 0 || older === newer) return [];
  const tree = new TiledTree(newer, read);
  const proof: Uint8Array[] = [];
  let [first, end, known] = [0, newer, true];
  while (older !== end) {
    const middle = first + splitPoint(end - first);
    if (older <= middle) {
      proof.push(await tree.root(middle, end));
      end = middle;
    } else {
      proof.push(await tree.root(first, middle));
      first = middle;
      known = false;
    }
  }
  if (!known) proof.push(await tree.root(first, end));
  return proof.reverse();
}

/** The largest power of two below `count`. */
function splitPoint(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

class TiledTree {
  readonly #size: number;
  readonly #read: TileReader;
  readonly #tiles = new Map<string, Promise<Uint8Array[]>>();

  constructor(size: number, read: TileReader) {
    this.#size = size;
    this.#read = read;
  }

  /** The root over the entries [first, end), a subtree of the whole tree. */
  async root(first: number, end: number): Promise<Uint8Array> {
    const count = end - first;
    const split = splitPoint(count);
    if (count > 1 && split * 2 !== count) {
      return subtreeRoot([await this.root(first, first + split), await this.root(first + split, end)]);
    }
    return this.#complete(first, count);
  }

  /** A complete subtree of `count` (a power of two) entries: 1 to 256 neighbouring hashes of one tile. */
  async #complete(first: number, count: number): Promise<Uint8Array> {
    let level = 0;
    while (count > leavesPerHash(level) * (TILE_WIDTH / 2)) level++;
    const leaves = leavesPerHash(level);
    const [start, width] = [first / leaves, count / leaves];
    const hashes = await this.#tile(level, Math.floor(start / TILE_WIDTH));
    const offset = start % TILE_WIDTH;
    assert(offset + width <= hashes.length, "A complete subtree lies within a tile.");
    return subtreeRoot(hashes.slice(offset, offset + width));
  }

  #tile(level: number, index: number): Promise<Uint8Array[]> {
    const key = `${level}/${index}`;
    const known =
      this.#tiles.get(key) ?? this.#load({ level, index, width: tileWidth(level, index, this.#size) });
    this.#tiles.set(key, known);
    return known;
  }

  async #load(name: TileName): Promise<Uint8Array[]> {
    const bytes = await this.#read(name);
    if (bytes.length < name.width * HASH_BYTES) {
      throw new ClawError(
        "E_LEDGER",
        `A tile of level ${name.level} has ${bytes.length} bytes; it is damaged.`,
      );
    }
    return splitHashes(bytes.subarray(0, name.width * HASH_BYTES));
  }
}

/** A tile's bytes as hashes. */
export function splitHashes(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.floor(bytes.length / HASH_BYTES) }, (_, i) =>
    bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}
