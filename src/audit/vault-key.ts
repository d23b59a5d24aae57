/** I/O: the vault's key: 32 random bytes in hexadecimal, in a file that only its owner may read. */

import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { makeSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";

const KEY_BYTES = 32;
const OTHERS = 0o077;

/** The key in the file `path`, which is made if there is none. Errors: E_LEDGER when others may read it. */
export function readOrMakeVaultKey(path: string): Uint8Array {
  try {
    makeSecretFile(path, () => `${randomBytes(KEY_BYTES).toString("hex")}\n`);
  } catch (cause) {
    throw new ClawError("E_LEDGER", `Making the vault's key ${path} failed.`, { cause });
  }
  return readVaultKey(path);
}

/** The key in the file `path`. Errors: E_LEDGER when it is missing, or others may read it. */
export function readVaultKey(path: string): Uint8Array {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    throw new ClawError("E_LEDGER", `The vault's key ${path} is missing or cannot be read.`, { cause });
  }
  try {
    if ((fstatSync(file).mode & OTHERS) !== 0) {
      throw new ClawError("E_LEDGER", `The vault's key ${path} is open to other users; chmod 600 it.`);
    }
    const text = readFileSync(file, "utf8").trim();
    if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, "hex");
    throw new ClawError("E_LEDGER", `The file ${path} holds no key of a vault.`);
  } finally {
    closeSync(file);
  }
}
