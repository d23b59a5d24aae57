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
import { TILE_WIDTH } from "./limits.ts";
import { CHECKPOINT } from "./storage/mod.ts";
import type { StoredLog } from "./stored-log.ts";
import { decodeBundle, newTiles, type TileName, tilePath } from "./tiles.ts";
import { TreeEdge } from "./tree-edge.ts";

export interface AuditedLog extends Checkpoint {
  /** Entries in the journal behind those of the checkpoint. */
  readonly journaled: number;
  readonly files: number;
  /** Names of the keys whose signatures verified; none when no keys were given. */
  readonly signedBy: readonly string[];
}

type Files = Pick<StoredLog, "read">;

/** What the last checkpoint says; nothing is verified. Errors: E_LEDGER when there is none, E_NOTE when it is malformed. */
export async function readCheckpoint(files: Files): Promise<Checkpoint> {
  return parseCheckpoint(parseNote(await readNote(files)).text);
}

async function readNote(files: Files): Promise<Uint8Array> {
  const note = await files.read(CHECKPOINT);
  if (note !== undefined) return note;
  throw new ClawError("E_LEDGER", "There is no checkpoint: no ledger is there.");
}

/** Only reads. Errors: E_LEDGER, naming the first file that is missing or damaged; E_NOTE for the checkpoint. */
export async function auditLog(log: StoredLog, verifiers: readonly NoteVerifier[]): Promise<AuditedLog> {
  const note = await readNote(log);
  const opened = verifiers.length > 0 ? openNote(note, verifiers) : undefined;
  const checkpoint = parseCheckpoint((opened ?? parseNote(note)).text);
  const { files, unbundled } = await auditTiles(log, checkpoint);
  const sequence: Uint8Array[] = [];
  await log.replay(checkpoint.size - unbundled.length, (entry) => sequence.push(entry));
  // Whoever reads an entry that is in no full bundle reads it in the journal; a copy of what is published has none.
  for (const [i, leaf] of sequence.length === 0 ? [] : unbundled.entries()) {
    const found = sequence[i];
    if (found !== undefined && equalBytes(leafHash(found), leaf)) continue;
    const index = checkpoint.size - unbundled.length + i;
    throw new ClawError("E_LEDGER", `The journal lacks entry ${index} of the checkpoint, or holds another.`);
  }
  const signedBy = opened?.verified.map(({ name }) => name) ?? [];
  const journaled = Math.max(0, sequence.length - unbundled.length);
  return { ...checkpoint, journaled, files, signedBy };
}

interface AuditedTiles {
  /** How many there are. */
  readonly files: number;
  /** Leaf hashes of the entries in the last, unfinished bundle. */
  readonly unbundled: readonly Uint8Array[];
}

/** Builds the tree anew from the bundles and compares. */
async function auditTiles(log: Files, { size, root }: Checkpoint): Promise<AuditedTiles> {
  const names = newTiles(0, size);
  const edge = new TreeEdge();
  for (const name of names.filter(({ level }) => level === "entries")) {
    const filled: [TileName, Uint8Array][] = [];
    for (const entry of await readBundle(log, name)) {
      edge.append(leafHash(entry), (level, index, hashes) => {
        filled.push([{ level, index, width: TILE_WIDTH }, concat(...hashes)]);
      });
    }
    for (const [tile, expected] of filled) await compare(log, tile, expected);
  }
  for (const name of names) {
    const { level, width } = name;
    if (level !== "entries" && width < TILE_WIDTH)
      await compare(log, name, concat(...edge.unfinished(level)));
  }
  if (edge.size === size && equalBytes(edge.root(), root)) {
    return { files: names.length, unbundled: edge.unfinished(0) };
  }
  throw new ClawError("E_LEDGER", `The entries do not have the root of the checkpoint of ${size}.`);
}

async function readBundle(log: Files, name: TileName): Promise<Uint8Array[]> {
  const entries = decodeBundle((await log.read(tilePath(name))) ?? new Uint8Array());
  if (entries?.length === name.width) return entries;
  throw damaged(tilePath(name));
}

async function compare(log: Files, name: TileName, expected: Uint8Array): Promise<void> {
  const found = await log.read(tilePath(name));
  if (found === undefined || !equalBytes(found, expected)) throw damaged(tilePath(name));
}

function damaged(path: string): ClawError {
  return new ClawError(
    "E_LEDGER",
    `The ledger's ${path} is missing, or it or the entries below it are damaged.`,
  );
}
