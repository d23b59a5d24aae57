/**
 * I/O: the vault: what is confidential of a stream, encrypted, in files of its own. Removing them makes its entries'
 * commitments impossible to open and changes nothing in the log.
 *
 * A file is a 12-byte nonce, the ciphertext and a 16-byte tag of AES-256-GCM, under a key that HKDF-SHA-256 derives from
 * the vault's key and the file's name, which is authenticated with it: files cannot be exchanged.
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ClawError } from "../base/mod.ts";
import { VAULT_BYTES_MAX } from "./limits.ts";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Only this user may look inside. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Streams of a folder share its first digits, so that no folder grows without bound. */
const FOLDER_DIGITS = 2;

/** What is kept of a stream: as it begins, what it was asked and the salts in hexadecimal; at its end, what it answered. */
export interface Vaulted {
  readonly open: { readonly salt: string; readonly outputSalt: string; readonly prompt: readonly number[] };
  readonly close: { readonly tokens: readonly number[] };
}

export type VaultPart = keyof Vaulted;

export class Vault {
  readonly #folder: string;
  readonly #key: Uint8Array;

  /** `key`: 32 bytes. */
  constructor(folder: string, key: Uint8Array) {
    this.#folder = folder;
    this.#key = key;
  }

  /**
   * Keeps a part of a stream; durable when it resolves. The answer of a stream that was forgotten while it ran is not
   * kept. Errors: E_LEDGER.
   */
  async put<P extends VaultPart>(stream: string, part: P, value: Vaulted[P]): Promise<void> {
    const name = `${stream}.${part}`;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#keyOf(name), nonce).setAAD(Buffer.from(name));
    const sealed = [nonce, cipher.update(JSON.stringify(value)), cipher.final(), cipher.getAuthTag()];
    try {
      await mkdir(this.#folderOf(stream), { recursive: true, mode: FOLDER_MODE });
      await writeNew(this.#pathOf(stream, part), Buffer.concat(sealed));
      await syncFolder(this.#folderOf(stream));
      if (part === "close" && !(await this.#has(stream, "open"))) await erase(this.#pathOf(stream, part));
    } catch (cause) {
      throw new ClawError("E_LEDGER", `The vault in ${this.#folder} cannot be written to.`, { cause });
    }
  }

  /** Undefined where the part was never kept, or is forgotten. Errors: E_LEDGER where it was altered, or with another key. */
  async get<P extends VaultPart>(stream: string, part: P): Promise<Vaulted[P] | undefined> {
    const path = this.#pathOf(stream, part);
    const kept = await stat(path).catch(missing);
    if (kept === undefined) return undefined;
    if (kept.size < NONCE_BYTES + TAG_BYTES || kept.size > VAULT_BYTES_MAX) throw altered(path);
    const bytes = await readFile(path).catch(missing);
    if (bytes === undefined) return undefined;
    const name = `${stream}.${part}`;
    const end = bytes.length - TAG_BYTES;
    try {
      const nonce = bytes.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", this.#keyOf(name), nonce, {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(name));
      decipher.setAuthTag(bytes.subarray(end));
      const text = [decipher.update(bytes.subarray(NONCE_BYTES, end)), decipher.final()];
      return JSON.parse(Buffer.concat(text).toString()) as Vaulted[P];
    } catch (cause) {
      throw altered(path, cause);
    }
  }

  /** Removes what is kept of a stream; whether there was anything. Overwritten first, as far as the disk lets us. Errors: E_LEDGER. */
  async forget(stream: string): Promise<boolean> {
    // In this order: who keeps an answer looks for the prompt afterwards.
    const asked = await erase(this.#pathOf(stream, "open"));
    const answered = await erase(this.#pathOf(stream, "close"));
    return asked || answered;
  }

  /** Removes what was kept before a time in milliseconds since 1970; how many files. Errors: E_LEDGER. */
  async forgetBefore(time: number): Promise<number> {
    let count = 0;
    for (const folder of (await readdir(this.#folder).catch(missing)) ?? []) {
      const path = join(this.#folder, folder);
      for (const name of (await readdir(path).catch(missing)) ?? []) {
        const kept = await stat(join(path, name)).catch(missing);
        if (kept !== undefined && kept.mtimeMs < time && (await erase(join(path, name)))) count++;
      }
      await rmdir(path).catch(() => {}); // not empty, or in use
    }
    return count;
  }

  async #has(stream: string, part: VaultPart): Promise<boolean> {
    return (await stat(this.#pathOf(stream, part)).catch(missing)) !== undefined;
  }

  #folderOf(stream: string): string {
    return join(this.#folder, stream.slice(0, FOLDER_DIGITS));
  }

  #pathOf(stream: string, part: VaultPart): string {
    return join(this.#folderOf(stream), `${stream}.${part}`);
  }

  #keyOf(name: string): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#key, "openclaw/vault/v1", name, KEY_BYTES));
  }
}

/** Durable but for its name; a file that did not become whole does not stay: its disk may be full. */
async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", FILE_MODE);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function erase(path: string): Promise<boolean> {
  const file = await open(path, "r+").catch(missing);
  if (file === undefined) return false;
  try {
    const { size } = await file.stat();
    await file.write(new Uint8Array(size), 0, size, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await rm(path, { force: true });
  return true;
}

function missing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
    return;
  throw new ClawError("E_LEDGER", "The vault cannot be read.", { cause: error });
}

function altered(path: string, cause?: unknown): ClawError {
  return new ClawError("E_LEDGER", `The vault's ${path} was altered, or has another key.`, { cause });
}
