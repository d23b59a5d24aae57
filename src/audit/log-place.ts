/** I/O: where a ledger's log lies: in files of its folder, or in PostgreSQL. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClawError } from "../base/mod.ts";
import {
  CHECKPOINT,
  FileStorage,
  FolderDisk,
  type LogStorage,
  PostgresStorage,
  type StoredLog,
  storedInFiles,
} from "../ledger/mod.ts";
import { ledgerPaths } from "./folders.ts";

const FOLDER_MODE = 0o700;

export interface LogPlace {
  readonly folder: string;
  /** The log's name. */
  readonly origin: string;
  /** The database's URL; undefined: the log is in the folder. */
  readonly postgres: string | undefined;
}

/** Makes the folder where it is missing. Errors: E_LEDGER. */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The ledger's folder ${folder} cannot be made.`, { cause });
  }
}

/**
 * A folder's log stays where it was begun: another one under the folder's keys would be a second past of one name. Errors:
 * E_LEDGER when it lies elsewhere.
 */
export function checkPlace({ folder, origin, postgres }: LogPlace): void {
  const { log, inPostgres } = ledgerPaths(folder);
  const known = existsSync(inPostgres) ? readFileSync(inPostgres, "utf8").trim() : undefined;
  if (postgres === undefined) {
    if (known === undefined) return;
    throw elsewhere(folder, "its log is in PostgreSQL; name the database in ledger.postgres");
  }
  if (existsSync(join(log, CHECKPOINT))) {
    throw elsewhere(folder, "it holds a log in files; begin one in PostgreSQL with a new folder");
  }
  if (known !== undefined && known !== origin) throw elsewhere(folder, `its log is ${known}, not ${origin}`);
}

/** Notes in the folder that its log was begun in PostgreSQL. Errors: E_LEDGER. */
export function markPlace({ folder, origin, postgres }: LogPlace): void {
  const { inPostgres } = ledgerPaths(folder);
  if (postgres === undefined || existsSync(inPostgres)) return;
  try {
    writeFileSync(inPostgres, `${origin}\n`, { flush: true }); // lost, a second past could begin in files
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The ledger's file ${inPostgres} cannot be written.`, { cause });
  }
}

/** The log to write to. */
export function storageAt({ folder, origin, postgres }: LogPlace): LogStorage {
  if (postgres !== undefined) return new PostgresStorage({ url: postgres, log: origin });
  return new FileStorage(new FolderDisk(ledgerPaths(folder).log));
}

/** The log of a folder to read. Errors: E_LEDGER where it is in PostgreSQL and no database is named. */
export function storedAt(folder: string, postgres: string | undefined): StoredLog {
  const { log, inPostgres } = ledgerPaths(folder);
  if (!existsSync(inPostgres)) return storedInFiles(new FolderDisk(log));
  if (postgres === undefined) {
    throw elsewhere(folder, "its log is in PostgreSQL; name the database with --ledger-postgres-url-file");
  }
  return new PostgresStorage({ url: postgres, log: readFileSync(inPostgres, "utf8").trim() });
}

/**
 * A log to look at from where somebody says it is: a server's ledger folder, the log's folder in it or a copy of that, or, in a
 * database, the log's name in place of a folder. Errors: E_LEDGER where it is in PostgreSQL and no database is named.
 */
export function storedLog(place: string, postgres: string | undefined): StoredLog {
  const { log, inPostgres } = ledgerPaths(place);
  if (existsSync(inPostgres) || existsSync(join(log, CHECKPOINT))) return storedAt(place, postgres);
  if (postgres !== undefined) return new PostgresStorage({ url: postgres, log: place });
  return storedInFiles(new FolderDisk(place));
}

function elsewhere(folder: string, why: string): ClawError {
  return new ClawError("E_LEDGER", `The ledger's folder ${folder} cannot be used so: ${why}.`);
}
