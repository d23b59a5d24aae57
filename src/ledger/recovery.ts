/** What a log's storage holds: the last checkpoint and the edge of its tree, checked against each other. */

import { assert, ClawError } from "../base/mod.ts";
import {
  type Checkpoint,
  equalBytes,
  fromUtf8,
  leafHash,
  type NoteVerifier,
  openNote,
  parseCheckpoint,
} from "../crypto/mod.ts";
import { TILE_LEVELS_MAX, TILE_WIDTH } from "./limits.ts";
import { splitHashes } from "./proofs.ts";
import { CHECKPOINT, type LogStorage } from "./storage/mod.ts";
import { decodeBundle, leavesPerHash, type TileName, tilePath, tileWidth } from "./tiles.ts";
import { TreeEdge } from "./tree-edge.ts";

/** Reading is all that recovery does. */
type Files = Pick<LogStorage, "read">;

interface RecoveryOptions {
  readonly storage: Files;
  readonly origin: string;
  readonly verifiers: readonly NoteVerifier[];
}

export interface Recovered {
  readonly published: Checkpoint;
  readonly note: string;
  readonly edge: TreeEdge;
  readonly entries: Uint8Array[];
  readonly bundled: number;
}

/** The published log as the storage holds it, checked against its signed checkpoint. */
export async function recover({ storage, origin, verifiers }: RecoveryOptions): Promise<Recovered> {
  const note = await storage.read(CHECKPOINT);
  if (note === undefined) {
    const edge = new TreeEdge();
    return { published: { origin, size: 0, root: edge.root() }, note: "", edge, entries: [], bundled: 0 };
  }
  const published = parseCheckpoint(openNote(note, verifiers).text);
  if (published.origin !== origin) {
    throw new ClawError("E_LEDGER", `The storage holds the log ${published.origin}, not ${origin}.`);
  }
  const { size, root } = published;
  const tiles: Uint8Array[][] = [];
  for (let level = 0; level < TILE_LEVELS_MAX; level++) tiles.push(await lastTile(storage, level, size));
  const edge = TreeEdge.restore(size, tiles);
  if (!equalBytes(edge.root(), root)) {
    throw new ClawError(
      "E_LEDGER",
      `The tiles of the log do not have the root of its checkpoint of ${size}.`,
    );
  }
  const bundled = Math.floor(size / TILE_WIDTH) * TILE_WIDTH;
  const entries = size > bundled ? await lastBundle(storage, size, edge.unfinished(0)) : [];
  return { published, note: fromUtf8(note), edge, entries, bundled };
}

async function lastTile(files: Files, level: number, size: number): Promise<Uint8Array[]> {
  const name = lastName(level, size);
  if (name === undefined) return [];
  const bytes = await files.read(tilePath(name));
  if (bytes === undefined) throw new ClawError("E_LEDGER", `The ledger lacks ${tilePath(name)}.`);
  return splitHashes(bytes).slice(0, name.width);
}

async function lastBundle(files: Files, size: number, leaves: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const name = lastName("entries", size);
  assert(name !== undefined, "A log with unbundled entries has an unfinished bundle.");
  const entries = decodeBundle((await files.read(tilePath(name))) ?? new Uint8Array());
  const intact =
    entries?.length === leaves.length &&
    entries.every((entry, i) => equalBytes(leafHash(entry), leaves[i] ?? entry));
  if (entries === undefined || !intact)
    throw new ClawError("E_LEDGER", `The ledger's ${tilePath(name)} is damaged.`);
  return entries;
}

/** The unfinished tile of a level in a tree of `size` entries. */
function lastName(level: number | "entries", size: number): TileName | undefined {
  const hashes = Math.floor(size / leavesPerHash(level === "entries" ? 0 : level));
  const index = Math.floor(hashes / TILE_WIDTH);
  const width = tileWidth(level, index, size);
  return width === 0 ? undefined : { level, index, width };
}
