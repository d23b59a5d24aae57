/** Where the tiles of a log are and what is in them (C2SP tlog-tiles). */

import { assert } from "../base/mod.ts";
import { TILE_LEVELS_MAX, TILE_WIDTH } from "./limits.ts";

/** A tile of hashes, or with level `entries` a bundle of entries. */
export interface TileName {
  readonly level: number | "entries";
  readonly index: number;
  /** Hashes or entries in it: 1 to 256. */
  readonly width: number;
}

/** The path below the log's prefix, such as `tile/0/x001/067.p/12`. */
export function tilePath({ level, index, width }: TileName): string {
  assert(width >= 1 && width <= TILE_WIDTH, `A tile has a width of 1 to ${TILE_WIDTH}, not ${width}.`);
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  const groups = padded.match(/\d{3}/g) ?? [];
  const path = groups.map((group, i) => (i + 1 < groups.length ? `x${group}` : group)).join("/");
  return `tile/${level}/${path}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

/** Entries below one hash of a tile of this level. */
export function leavesPerHash(level: number): number {
  let leaves = 1;
  for (let i = 0; i < level; i++) leaves *= TILE_WIDTH;
  return leaves;
}

/** How wide the tile is in a tree of `size` entries; 0 where it does not exist. */
export function tileWidth(level: number | "entries", index: number, size: number): number {
  const hashes = Math.floor(size / leavesPerHash(level === "entries" ? 0 : level));
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** The tiles that a tree of `to` entries has and one of `from` entries does not, bundles first. */
export function newTiles(from: number, to: number): TileName[] {
  const names: TileName[] = [];
  for (const level of ["entries", ...Array(TILE_LEVELS_MAX).keys()] as const) {
    const leaves = leavesPerHash(level === "entries" ? 0 : level);
    const [before, after] = [Math.floor(from / leaves), Math.floor(to / leaves)];
    if (after === before) continue;
    for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < after; index++) {
      names.push({ level, index, width: tileWidth(level, index, to) });
    }
  }
  return names;
}

/** Entries as a bundle: each behind its length in 16 bits, big endian. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const bundle = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let offset = 0;
  for (const entry of entries) {
    bundle[offset] = entry.length >> 8;
    bundle[offset + 1] = entry.length & 255;
    bundle.set(entry, offset + 2);
    offset += 2 + entry.length;
  }
  return bundle;
}

/** The entries of a bundle; undefined when it does not end with one. */
export function decodeBundle(bundle: Uint8Array): Uint8Array[] | undefined {
  const entries: Uint8Array[] = [];
  for (let offset = 0; offset < bundle.length; ) {
    if (offset + 2 > bundle.length) return undefined;
    const length = ((bundle[offset] as number) << 8) | (bundle[offset + 1] as number);
    if (offset + 2 + length > bundle.length) return undefined;
    entries.push(bundle.subarray(offset + 2, offset + 2 + length));
    offset += 2 + length;
  }
  return entries;
}
