/** A whole log at rest, checked offline: every tile against the entries, the root against the checkpoint, the journal. */

import { ClawError } from "../base/mod.ts";
import {
  type Checkpoint,
  concat,
  equalBytes,
  leafHash,
  type NoteVerifier,
  openNote,
  parseCheckpoint,
  parseNote,
} from "../crypto/mod.ts";
import type { Disk } from "./disk/mod.ts";
import { TILE_WIDTH } from "./limits.ts";
import { CHECKPOINT, FileStorage } from "./storage/mod.ts";
import { decodeBundle, newTiles, type TileName, tilePath } from "./tiles.ts";
import { TreeEdge } from "./tree-edge.ts";

export interface AuditedLog extends Checkpoint {
  /** Entries in the journal behind those of the checkpoint. */
  readonly journaled: number;
  readonly files: number;
  /** Names of the keys whose signatures verified; none when no keys were given. */
  readonly signedBy: readonly string[];
}

/** What the last checkpoint says; nothing is verified. Errors: E_LEDGER when there is none, E_NOTE when it is malformed. */
export async function readCheckpoint(disk: Pick<Disk, "read">): Promise<Checkpoint> {
  return parseCheckpoint(parseNote(await readNote(disk)).text);
}

async function readNote(disk: Pick<Disk, "read">): Promise<Uint8Array> {
  const note = await disk.read(CHECKPOINT);
  if (note !== undefined) return note;
  throw new ClawError("E_LEDGER", "The folder holds no checkpoint: no ledger is there.");
}

/** Only reads. Errors: E_LEDGER, naming the first file that is missing or damaged; E_NOTE for the checkpoint. */
export async function auditLog(disk: Disk, verifiers: readonly NoteVerifier[]): Promise<AuditedLog> {
  const note = await readNote(disk);
  const opened = verifiers.length > 0 ? openNote(note, verifiers) : undefined;
  const checkpoint = parseCheckpoint((opened ?? parseNote(note)).text);
  const files = await auditTiles(disk, checkpoint);
  let journaled = 0;
  // A journal that ends within a record is as a crash left it; whoever only looks does not cut it off.
  const unchanged: Disk = readingDisk(disk);
  await new FileStorage(unchanged).replay(checkpoint.size, () => journaled++);
  return { ...checkpoint, journaled, files, signedBy: opened?.verified.map(({ name }) => name) ?? [] };
}

/** Builds the tree anew from the bundles and compares; how many files there are. */
async function auditTiles(disk: Disk, { size, root }: Checkpoint): Promise<number> {
  const names = newTiles(0, size);
  const edge = new TreeEdge();
  for (const name of names.filter(({ level }) => level === "entries")) {
    const filled: [TileName, Uint8Array][] = [];
    for (const entry of await readBundle(disk, name)) {
      edge.append(leafHash(entry), (level, index, hashes) => {
        filled.push([{ level, index, width: TILE_WIDTH }, concat(...hashes)]);
      });
    }
    for (const [tile, expected] of filled) await compare(disk, tile, expected);
  }
  for (const name of names) {
    const { level, width } = name;
    if (level !== "entries" && width < TILE_WIDTH)
      await compare(disk, name, concat(...edge.unfinished(level)));
  }
  if (edge.size === size && equalBytes(edge.root(), root)) return names.length;
  throw new ClawError("E_LEDGER", `The entries do not have the root of the checkpoint of ${size}.`);
}

async function readBundle(disk: Disk, name: TileName): Promise<Uint8Array[]> {
  const entries = decodeBundle((await disk.read(tilePath(name))) ?? new Uint8Array());
  if (entries?.length === name.width) return entries;
  throw damaged(tilePath(name));
}

async function compare(disk: Disk, name: TileName, expected: Uint8Array): Promise<void> {
  const found = await disk.read(tilePath(name));
  if (found === undefined || !equalBytes(found, expected)) throw damaged(tilePath(name));
}

function damaged(path: string): ClawError {
  return new ClawError(
    "E_LEDGER",
    `The ledger's ${path} is missing, or it or the entries below it are damaged.`,
  );
}

/** The same disk for someone who changes nothing. */
export function readingDisk(disk: Disk): Disk {
  const nothing = async (): Promise<void> => {};
  return {
    read: (path) => disk.read(path),
    list: (folder) => disk.list(folder),
    hold: nothing,
    append: nothing,
    sync: nothing,
    truncate: nothing,
    replace: nothing,
    remove: nothing,
    close: nothing,
  };
}
