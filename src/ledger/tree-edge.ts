/** The right edge of a growing Merkle tree: the last, unfinished tile of each level, enough to append and to know the root. */

import { assert, at } from "../base/mod.ts";
import { emptyRoot, nodeHash } from "../crypto/mod.ts";
import { TILE_LEVELS_MAX, TILE_WIDTH } from "./limits.ts";
import { leavesPerHash } from "./tiles.ts";

/** A tile's hashes, one after the other. */
export type TileListener = (level: number, index: number, hashes: readonly Uint8Array[]) => void;

export class TreeEdge {
  /** Hashes of each level's last tile: never full. */
  readonly #levels: Uint8Array[][] = Array.from({ length: TILE_LEVELS_MAX }, () => []);
  #size = 0;

  /** The edge of a tree of `size` entries from the unfinished tiles of its levels. */
  static restore(size: number, tiles: readonly (readonly Uint8Array[])[]): TreeEdge {
    const edge = new TreeEdge();
    edge.#size = size;
    for (const [level, tile] of edge.#levels.entries()) {
      const width = Math.floor(size / leavesPerHash(level)) % TILE_WIDTH;
      tile.push(...(tiles[level] ?? []));
      assert(tile.length === width, `The tile at level ${level} has ${tile.length} hashes, not ${width}.`);
    }
    return edge;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a leaf; hands out every tile that it fills. */
  append(leaf: Uint8Array, full: TileListener): void {
    let [hash, index] = [leaf, this.#size++];
    for (const [level, tile] of this.#levels.entries()) {
      tile.push(hash);
      if (tile.length < TILE_WIDTH) return;
      const hashes = tile.splice(0);
      index = Math.floor(index / TILE_WIDTH);
      full(level, index, hashes);
      hash = subtreeRoot(hashes);
    }
  }

  /** Hashes of the unfinished tile of a level. */
  unfinished(level: number): readonly Uint8Array[] {
    return at(this.#levels, level);
  }

  /** The root of the whole tree. */
  root(): Uint8Array {
    let carried: Uint8Array | undefined;
    for (const tile of this.#levels) {
      const hashes = carried === undefined ? tile : [...tile, carried];
      if (hashes.length > 0) carried = subtreeRoot(hashes);
    }
    return carried ?? emptyRoot();
  }
}

/** The root over consecutive subtrees of equal size, of which only the last may be unfinished (RFC 6962, section 2.1). */
export function subtreeRoot(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 1) return at(hashes, 0);
  let left = 1;
  while (left * 2 < hashes.length) left *= 2;
  return nodeHash(subtreeRoot(hashes.slice(0, left)), subtreeRoot(hashes.slice(left)));
}
