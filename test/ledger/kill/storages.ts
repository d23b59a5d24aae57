/** I/O: the storages that writers are killed over, by the driver's name. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NOTE_KEY, noteVerifier } from "../../../src/crypto/mod.ts";
import {
  FileStorage,
  FolderDisk,
  type LogOptions,
  type LogStorage,
  PostgresStorage,
  readOrMakeKey,
  signingKey,
} from "../../../src/ledger/mod.ts";

const ORIGIN = "ledger.example/killed";

/** The storage at `place`, and the keys of its log; of PostgreSQL, `place` has a file that names it. */
export function openStorage(
  driver: string,
  place: string,
): { readonly storage: LogStorage; readonly keys: Omit<LogOptions, "storage"> } {
  mkdirSync(place, { recursive: true });
  const privateKey = readOrMakeKey(join(place, "key"), NOTE_KEY.ED25519);
  const key = signingKey(privateKey, { name: ORIGIN, type: NOTE_KEY.ED25519, now: () => 0 });
  const keys = { origin: ORIGIN, signers: [key], verifiers: [noteVerifier(key.vkey)] };
  return { storage: storageOf(driver, place), keys };
}

function storageOf(driver: string, place: string): LogStorage {
  if (driver === "files") return new FileStorage(new FolderDisk(join(place, "log")));
  if (driver !== "postgres") throw new Error(`There is no driver ${driver}.`);
  return new PostgresStorage({ url: readFileSync(join(place, "url"), "utf8"), log: ORIGIN + place });
}
