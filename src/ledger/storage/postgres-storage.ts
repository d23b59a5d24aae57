/**
 * A log in PostgreSQL, for any number of writers. Entries, tiles and checkpoints are durable when the transaction that wrote
 * them is committed, as far as PostgreSQL's write-ahead log is: one that runs with fsync, full_page_writes or
 * synchronous_commit off is refused, whenever it is connected to.
 */

import { ClawError } from "../../base/mod.ts";
import { REPLAY_ENTRIES, TILE_WIDTH } from "../limits.ts";
import { decodeBundle, encodeBundle, tilePath } from "../tiles.ts";
import { PostgresConnections } from "./postgres-connections.ts";
import {
  APPEND,
  BEGIN,
  DROP_FILES,
  ENTRIES,
  READ_CHECKPOINT,
  READ_FILE,
  RELEASE,
  SCHEMA,
  SIZE,
  WRITE_CHECKPOINT,
  WRITE_FILE,
} from "./postgres-schema.ts";
import { CHECKPOINT, type LogStorage } from "./storage.ts";

const HASH_BYTES = 32;

/** The path of an unfinished tile: its full one's, and its width. */
const PARTIAL = /^(tile\/(?:entries|\d).*)\.p\/(\d+)$/;

interface PostgresPlace {
  /** `postgresql://…`, without a password: PostgreSQL's own ways (a pgpass file, PGPASSWORD) keep those. */
  readonly url: string;
  /** The log's name; a database may hold several. */
  readonly log: string;
}

export class PostgresStorage implements LogStorage {
  readonly #log: string;
  readonly #database: PostgresConnections;

  constructor({ url, log }: PostgresPlace) {
    this.#log = log;
    this.#database = new PostgresConnections(url);
  }

  /** Makes the tables where they are missing. Errors: E_LEDGER_UNSAFE, E_LEDGER. */
  async open(): Promise<void> {
    await this.#database.query(SCHEMA);
    await this.#database.query(BEGIN, [this.#log]);
  }

  /** Unfinished tiles that were removed are cut from the full ones: another writer may have removed them just now. */
  async read(path: string): Promise<Uint8Array | undefined> {
    if (path === CHECKPOINT) return this.#bytes(READ_CHECKPOINT, [this.#log]);
    const found = await this.#bytes(READ_FILE, [this.#log, path]);
    const [, full, width] = PARTIAL.exec(path) ?? [];
    if (found !== undefined || full === undefined) return found;
    const whole = await this.#bytes(READ_FILE, [this.#log, full]);
    return whole === undefined
      ? undefined
      : cut(whole, { bundle: full.startsWith("tile/entries/"), width: Number(width) });
  }

  async replay(from: number, entry: (bytes: Uint8Array) => void): Promise<void> {
    for (const bytes of await this.#entries(from, await this.#size())) entry(bytes);
  }

  async append(known: number, entries: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const first = entries.length === 0 ? await this.#size() : await this.#add(entries);
    return this.#entries(known, first);
  }

  async publish(path: string, bytes: Uint8Array): Promise<void> {
    const { rowCount } = await this.#database.query(WRITE_FILE, [this.#log, path, Buffer.from(bytes)]);
    if (rowCount === 1) return;
    const there = await this.#bytes(READ_FILE, [this.#log, path]);
    // Gone again: another writer has published the full one.
    if (there === undefined || Buffer.compare(there, bytes) === 0) return;
    throw new ClawError("E_LEDGER", `The ledger's ${path} is there with other content.`);
  }

  async dropPartial(path: string): Promise<void> {
    await this.#database.query(DROP_FILES, [this.#log, `${path}.p/`]);
  }

  async publishCheckpoint(size: number, note: Uint8Array): Promise<void> {
    await this.#database.query(WRITE_CHECKPOINT, [this.#log, size, Buffer.from(note)]);
  }

  async release(index: number): Promise<void> {
    await this.#database.query(RELEASE, [this.#log, index]);
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #size(): Promise<number> {
    return placeOf(await this.#database.query<{ first: string }>(SIZE, [this.#log]));
  }

  /** The index of the first of them. */
  async #add(entries: readonly Uint8Array[]): Promise<number> {
    const values = [this.#log, entries.map((entry) => Buffer.from(entry)), entries.length];
    return placeOf(await this.#database.query<{ first: string }>(APPEND, values));
  }

  /** The entries [first, end), of the sequence or, where others have released them, of bundles. */
  async #entries(first: number, end: number): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    while (first + found.length < end) {
      const next = first + found.length;
      const { rows } = await this.#database.query<{ index: string; entry: Buffer }>(ENTRIES, [
        this.#log,
        next,
        end,
        REPLAY_ENTRIES,
      ]);
      const here = rows
        .filter(({ index }, i) => Number(index) === next + i)
        .map(({ entry }) => new Uint8Array(entry));
      found.push(...(here.length > 0 ? here : await this.#bundled(next, end)));
    }
    return found;
  }

  async #bundled(first: number, end: number): Promise<Uint8Array[]> {
    const index = Math.floor(first / TILE_WIDTH);
    const bundle = await this.read(tilePath({ level: "entries", index, width: TILE_WIDTH }));
    const entries = decodeBundle(bundle ?? new Uint8Array()) ?? [];
    if (entries.length === TILE_WIDTH)
      return entries.slice(first - index * TILE_WIDTH, end - index * TILE_WIDTH);
    throw new ClawError("E_LEDGER", `The ledger's database lacks entry ${first}.`);
  }

  async #bytes(statement: string, values: readonly unknown[]): Promise<Uint8Array | undefined> {
    const { rows } = await this.#database.query<{ bytes: Buffer | null }>(statement, values);
    const bytes = rows[0]?.bytes ?? undefined;
    return bytes === undefined ? undefined : new Uint8Array(bytes);
  }
}

function placeOf({ rows }: { readonly rows: readonly { readonly first: string }[] }): number {
  const [row] = rows;
  if (row !== undefined) return Number(row.first);
  throw new ClawError("E_LEDGER", "The ledger's database has lost the log.");
}

function cut(whole: Uint8Array, { bundle, width }: { bundle: boolean; width: number }): Uint8Array {
  return bundle
    ? encodeBundle((decodeBundle(whole) ?? []).slice(0, width))
    : whole.subarray(0, width * HASH_BYTES);
}
