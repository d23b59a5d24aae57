/**
 * I/O: finds entries by request, time and capability. A cache of the log in SQLite: what is missing is read from the log when
 * it is asked for, and a database that does not fit the log is made anew. Nothing is lost with it.
 */

import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { ClawError } from "../../base/mod.ts";
import { equalBytes, leafHash } from "../../crypto/mod.ts";
import { INDEX_ANSWER_MAX, INDEX_BATCH } from "../limits.ts";

/** What an entry is found by. */
export interface IndexKeys {
  readonly requestId?: string;
  /** Milliseconds since 1970. */
  readonly time?: number;
  readonly revocationIds?: readonly string[];
}

/** The log that is indexed. */
export interface IndexedLog {
  readonly size: number;
  /** The entries [first, end). */
  entries(first: number, end: number): Promise<readonly Uint8Array[]>;
}

export interface LedgerIndexOptions {
  /** The database's file, made if need be. */
  readonly path: string;
  readonly log: IndexedLog;
  /** Reads an entry; one that cannot be read is found by nothing. */
  readonly keysOf: (entry: Uint8Array) => IndexKeys;
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS covered (only INTEGER PRIMARY KEY CHECK (only = 0), size INTEGER NOT NULL, leaf BLOB);
  INSERT OR IGNORE INTO covered VALUES (0, 0, NULL);
  CREATE TABLE IF NOT EXISTS requests (id TEXT, entry INTEGER, PRIMARY KEY (id, entry)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS times (time INTEGER, entry INTEGER, PRIMARY KEY (time, entry)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS revocations (id TEXT, entry INTEGER, PRIMARY KEY (id, entry)) WITHOUT ROWID;
`;

export class LedgerIndex {
  readonly #options: LedgerIndexOptions;
  #database: DatabaseSync;
  /** One catching up after the other. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: LedgerIndexOptions, database: DatabaseSync) {
    this.#options = options;
    this.#database = database;
  }

  /** Opens the index and brings it up to date. Errors: E_LEDGER when the log cannot be read or the file not be made. */
  static async open(options: LedgerIndexOptions): Promise<LedgerIndex> {
    const database = openDatabase(options.path) ?? makeAnew(options.path);
    const index = new LedgerIndex(options, database);
    await index.catchUp();
    return index;
  }

  /** Indexes of the entries of a request, ascending. Errors: E_LEDGER when the log cannot be read. */
  find(requestId: string): Promise<number[]> {
    return this.#ask("SELECT entry FROM requests WHERE id = ? ORDER BY entry LIMIT ?", [requestId]);
  }

  /** Indexes of entries with a time in [from, to), in milliseconds since 1970, by time; as many as `limits.ts` allows. */
  between(from: number, to: number): Promise<number[]> {
    return this.#ask("SELECT entry FROM times WHERE time >= ? AND time < ? ORDER BY time, entry LIMIT ?", [
      from,
      to,
    ]);
  }

  /** Indexes of the entries made under a capability, ascending. */
  withRevocationId(id: string): Promise<number[]> {
    return this.#ask("SELECT entry FROM revocations WHERE id = ? ORDER BY entry LIMIT ?", [id]);
  }

  /** Reads what the log has beyond the index; worth doing now and then, so that no search has much to read. */
  catchUp(): Promise<void> {
    this.#turn = this.#turn
      .catch(() => {})
      .then(() => this.#catchUpNow())
      .catch((error) => this.#startOver(error));
    return this.#turn;
  }

  close(): void {
    this.#database.close();
  }

  async #ask(query: string, values: readonly (string | number)[]): Promise<number[]> {
    await this.catchUp();
    const search = (): number[] =>
      this.#database
        .prepare(query)
        .all(...values, INDEX_ANSWER_MAX)
        .map(({ entry }) => Number(entry));
    try {
      return search();
    } catch (error) {
      await this.#startOver(error);
      return search();
    }
  }

  /** What SQLite cannot read is made anew; what the log says stands. */
  async #startOver(error: unknown): Promise<void> {
    if (error instanceof ClawError) throw error;
    this.#database.close();
    this.#database = makeAnew(this.#options.path);
    await this.#catchUpNow();
  }

  async #catchUpNow(): Promise<void> {
    const { log, path } = this.#options;
    if (!(await this.#fits())) {
      this.#database.close();
      this.#database = makeAnew(path);
    }
    for (let first = this.#covered().size; first < log.size; ) {
      const end = Math.min(log.size, first + INDEX_BATCH);
      this.#insert(first, await log.entries(first, end));
      first = end;
    }
  }

  /** Whether the last entry that is covered is that of the log: a shorter or another log has none such. */
  async #fits(): Promise<boolean> {
    const { log } = this.#options;
    const { size, leaf } = this.#covered();
    if (size === 0) return true;
    if (size > log.size || leaf === null) return false;
    const [last] = await log.entries(size - 1, size);
    return last !== undefined && equalBytes(leafHash(last), leaf);
  }

  #covered(): { readonly size: number; readonly leaf: Uint8Array | null } {
    const row = this.#database.prepare("SELECT size, leaf FROM covered").get();
    return { size: Number(row?.["size"]), leaf: (row?.["leaf"] ?? null) as Uint8Array | null };
  }

  #insert(first: number, entries: readonly Uint8Array[]): void {
    const last = entries.at(-1);
    if (last === undefined) throw new ClawError("E_LEDGER", `The log does not hand out entry ${first}.`);
    const database = this.#database;
    const [request, time, revocation] = ["requests", "times", "revocations"].map((table) =>
      database.prepare(`INSERT OR IGNORE INTO ${table} VALUES (?, ?)`),
    );
    database.exec("BEGIN");
    for (const [i, entry] of entries.entries()) {
      const keys = this.#options.keysOf(entry);
      if (keys.requestId !== undefined) request?.run(keys.requestId, first + i);
      if (keys.time !== undefined) time?.run(keys.time, first + i);
      for (const id of keys.revocationIds ?? []) revocation?.run(id, first + i);
    }
    database.prepare("UPDATE covered SET size = ?, leaf = ?").run(first + entries.length, leafHash(last));
    database.exec("COMMIT");
  }
}

/** Undefined for a file that is no database of ours. */
function openDatabase(path: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec(SCHEMA);
    const { size } = database.prepare("SELECT size, leaf FROM covered").get() ?? {};
    if (typeof size === "number") return database;
  } catch {
    // It is made anew below; a folder that cannot be written to says so then.
  }
  database?.close();
  return undefined;
}

function makeAnew(path: string): DatabaseSync {
  for (const ending of ["", "-wal", "-shm"]) rmSync(path + ending, { force: true });
  const database = openDatabase(path);
  if (database !== undefined) return database;
  throw new ClawError("E_LEDGER", `The ledger's index ${path} cannot be made.`);
}
