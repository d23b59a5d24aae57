/**
 * I/O: a lock on a folder that ends with the process, however that ends. Node has no `flock`; SQLite takes the lock of
 * `fcntl` on a file of its own, which the system releases.
 */

import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { ClawError } from "../../base/mod.ts";

const FILE_MODE = 0o600;

/** Takes the lock file, which is made if need be; `close` gives it back. Errors: E_LEDGER when it is taken. */
export function lockFile(path: string): DatabaseSync {
  const lock = new DatabaseSync(path);
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    chmodSync(path, FILE_MODE);
    return lock;
  } catch (cause) {
    lock.close();
    throw new ClawError("E_LEDGER", `Another process writes here; it holds ${path}.`, { cause });
  }
}
