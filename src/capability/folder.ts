/**
 * I/O: the folder of capability tokens: `root.key` signs and only its owner reads it, `public-keys` verifies, `revoked`
 * lists revocation ids. Each file is replaced as a whole.
 */

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ClawError } from "../base/mod.ts";
import { loadBiscuit } from "./biscuit.ts";
import { LIST_BYTES_MAX } from "./limits.ts";
import type { SigningKey } from "./tokens.ts";
import type { RootKey } from "./verdict.ts";

const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;

/** What became of the revoked ids. */
export interface Revocations {
  /** How many were not revoked before. */
  readonly added: number;
  readonly all: ReadonlySet<string>;
}

export class TokenFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get publicKeysFile(): string {
    return join(this.path, "public-keys");
  }

  get revokedFile(): string {
    return join(this.path, "revoked");
  }

  get #privateFile(): string {
    return join(this.path, "root.key");
  }

  /** Errors: E_FILE, E_TOKEN_KEY for a line that is no key. */
  publicKeys(): readonly RootKey[] {
    return linesOf(this.publicKeysFile).map((line) => {
      const [, id, publicKey] = /^(\d{1,9}) (ed25519\/[0-9a-f]{64})$/.exec(line) ?? [];
      if (id !== undefined && publicKey !== undefined) return { id: Number(id), publicKey };
      throw new ClawError(
        "E_TOKEN_KEY",
        `${this.publicKeysFile} has a line that is no key: ${line.slice(0, 80)}.`,
      );
    });
  }

  /** Errors: E_FILE, E_TOKEN_KEY for a line that is no id. */
  revoked(): ReadonlySet<string> {
    const ids = linesOf(this.revokedFile);
    const odd = ids.find((id) => !isRevocationId(id));
    if (odd === undefined) return new Set(ids);
    throw new ClawError(
      "E_TOKEN_KEY",
      `${this.revokedFile} has a line that is no revocation id: ${odd.slice(0, 80)}.`,
    );
  }

  /** The key that signs now. Errors: E_TOKEN_KEY where there is none, or others can read it. */
  signingKey(): SigningKey {
    const file = this.#privateFile;
    if (!existsSync(file)) throw new ClawError("E_TOKEN_KEY", `There is no root key in ${this.path}.`);
    if ((statSync(file).mode & OTHERS) !== 0) {
      throw new ClawError(
        "E_TOKEN_KEY",
        `Other users can read ${file}; \`chmod 600\` closes it, if nobody did.`,
      );
    }
    const [, id, privateKey] =
      /^(\d{1,9}) (ed25519-private\/[0-9a-f]{64})\n$/.exec(readFileSync(file, "utf8")) ?? [];
    if (id !== undefined && privateKey !== undefined) return { id: Number(id), privateKey };
    throw new ClawError("E_TOKEN_KEY", `${file} holds no root key.`);
  }

  /** Makes a new key to sign with; tokens of the ones before stay good. Returns its id. */
  async rotate(): Promise<number> {
    const { KeyPair, SignatureAlgorithm } = await loadBiscuit();
    mkdirSync(this.path, { recursive: true, mode: FOLDER_MODE });
    const keys = this.publicKeys();
    const id = keys.reduce((last, key) => Math.max(last, key.id), 0) + 1;
    const pair = new KeyPair(SignatureAlgorithm.Ed25519);
    // The public half comes first: what the new key signs is never of an unknown one.
    this.#writePublicKeys([...keys, { id, publicKey: pair.getPublicKey().toString() }]);
    replaceFile(this.#privateFile, `${id} ${pair.getPrivateKey().toString()}\n`, PRIVATE_MODE);
    return id;
  }

  /** Makes all tokens of a key invalid. Errors: E_TOKEN_KEY where there is none of that number. */
  remove(id: number): void {
    const keys = this.publicKeys();
    const others = keys.filter((key) => key.id !== id);
    if (others.length === keys.length)
      throw new ClawError("E_TOKEN_KEY", `${this.publicKeysFile} has no key ${id}.`);
    this.#writePublicKeys(others);
  }

  /** Adds to the revoked ids, all or none. Errors: E_PARAMETER, E_REVOCATIONS where the file is full, E_STATE_DIR. */
  revoke(ids: readonly string[]): Revocations {
    const odd = ids.find((id) => !isRevocationId(id));
    if (odd !== undefined) {
      throw new ClawError("E_PARAMETER", `${JSON.stringify(odd.slice(0, 80))} is no revocation id.`);
    }
    const known = this.revoked();
    const fresh = [...new Set(ids)].filter((id) => !known.has(id));
    if (fresh.length > 0) {
      mkdirSync(this.path, { recursive: true, mode: FOLDER_MODE });
      appendWhole(this.revokedFile, fresh.map((id) => `${id}\n`).join(""));
    }
    return { added: fresh.length, all: new Set([...known, ...fresh]) };
  }

  #writePublicKeys(keys: readonly RootKey[]): void {
    const text = keys.map(({ id, publicKey }) => `${id} ${publicKey}\n`).join("");
    replaceFile(this.publicKeysFile, text, PUBLIC_MODE);
  }
}

/** A block's signature, in hexadecimal: 64 bytes for Ed25519, up to 72 for the others that Biscuit knows. */
export function isRevocationId(text: string): boolean {
  return /^(?:[0-9a-f]{2}){64,72}$/.test(text);
}

function linesOf(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  const { size } = statSync(file);
  if (size > LIST_BYTES_MAX)
    throw new ClawError("E_FILE", `${file} has ${size} bytes; ${LIST_BYTES_MAX} are the most.`);
  return readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * Adds lines to a list, on which others may be writing, too: all of them durably, or none. Errors: E_REVOCATIONS where it
 * would become too large to be read, E_STATE_DIR.
 */
function appendWhole(file: string, lines: string): void {
  const handle = openSync(file, "a+", PUBLIC_MODE);
  try {
    const { size } = fstatSync(handle);
    // Whoever wrote the last line by hand may have left it open.
    const text = size === 0 || lastByteOf(handle, size) === "\n" ? lines : `\n${lines}`;
    if (size + text.length > LIST_BYTES_MAX) {
      const most = `${LIST_BYTES_MAX} bytes are the most`;
      throw new ClawError("E_REVOCATIONS", `${file} would have ${size + text.length} bytes; ${most}.`);
    }
    try {
      writeFileSync(handle, text);
      fsyncSync(handle);
    } catch (error) {
      ftruncateSync(handle, size); // half a line would make the whole list unreadable
      const reason = error instanceof Error ? error.message : String(error);
      throw new ClawError("E_STATE_DIR", `Cannot add to ${file}: ${reason}.`, { cause: error });
    }
  } finally {
    closeSync(handle);
  }
}

function lastByteOf(handle: number, size: number): string {
  const last = Buffer.alloc(1);
  readSync(handle, last, 0, 1, size - 1);
  return last.toString("latin1");
}

/** Whoever reads sees the old file or the new one. */
function replaceFile(file: string, text: string, mode: number): void {
  const fresh = `${file}.new`;
  const handle = openSync(fresh, "w", mode);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(fresh, file);
}
