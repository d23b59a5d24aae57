/** I/O: the vault's key: 32 random bytes in hexadecimal, in a file that only its owner may read. */

import { randomBytes } from "node:crypto";
import { makeSecretFile, readSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";

const KEY_BYTES = 32;

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
  const text = readSecretFile(path, "The vault's key", "E_LEDGER").trim();
  if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, "hex");
  throw new ClawError("E_LEDGER", `The file ${path} holds no key of a vault.`);
}
