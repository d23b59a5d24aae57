/**
 * I/O: the folder of capability tokens: `root.key` signs and only its owner reads it, `public-keys` verifies, `revoked`
 * lists revocation ids. The first two are replaced as a whole.
 */

import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { readSecretFile } from "../base/files/mod.ts";
import { ClawError } from "../base/mod.ts";
import { loadBiscuit } from "./biscuit.ts";
import { LIST_BYTES_READ_MAX } from "./limits.ts";
import { addRevoked, isRevocationId, type Revoked, RevokedLines } from "./revoked-list.ts";
import type { SigningKey } from "./tokens.ts";
import type { RootKey } from "./verdict.ts";

const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;
const FOLDER_MODE = 0o700;

/** What became of the revoked ids. */
export interface Revocations {
  /** How many were not revoked before. */
  readonly added: number;
  readonly all: Revoked;
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

  /** Errors: E_FILE, E_TOKEN_KEY for a line that is nothing of an id. */
  revoked(): Revoked {
    return new RevokedLines(linesOf(this.revokedFile), this.revokedFile);
  }

  /** The key that signs now. Errors: E_TOKEN_KEY where there is none, or others can read it. */
  signingKey(): SigningKey {
    const file = this.#privateFile;
    if (!existsSync(file)) throw new ClawError("E_TOKEN_KEY", `There is no root key in ${this.path}.`);
    const text = readSecretFile(file, "The root key", "E_TOKEN_KEY");
    const [, id, privateKey] = /^(\d{1,9}) (ed25519-private\/[0-9a-f]{64})\n$/.exec(text) ?? [];
    if (id !== undefined && privateKey !== undefined) return { id: Number(id), privateKey };
    throw new ClawError("E_TOKEN_KEY", `${file} holds no root key.`);
  }

  /** Makes a new key to sign with; tokens of the ones before stay good. Returns its id. Errors: E_STATE_DIR. */
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

  /** Makes all tokens of a key invalid. Errors: E_TOKEN_KEY where there is none of that number, E_STATE_DIR. */
  remove(id: number): void {
    const keys = this.publicKeys();
    const others = keys.filter((key) => key.id !== id);
    if (others.length === keys.length)
      throw new ClawError("E_TOKEN_KEY", `${this.publicKeysFile} has no key ${id}.`);
    this.#writePublicKeys(others);
  }

  /** Adds to the revoked ids. Errors: E_PARAMETER; those of `addRevoked`. */
  revoke(ids: readonly string[]): Revocations {
    const odd = ids.find((id) => !isRevocationId(id));
    if (odd !== undefined) {
      throw new ClawError("E_PARAMETER", `${JSON.stringify(odd.slice(0, 80))} is no revocation id.`);
    }
    const known = this.revoked();
    const fresh = [...new Set(ids)].filter((id) => !known.has(id));
    if (fresh.length === 0) return { added: 0, all: known };
    mkdirSync(this.path, { recursive: true, mode: FOLDER_MODE });
    addRevoked(this.revokedFile, fresh);
    return { added: fresh.length, all: this.revoked() };
  }

  #writePublicKeys(keys: readonly RootKey[]): void {
    const text = keys.map(({ id, publicKey }) => `${id} ${publicKey}\n`).join("");
    replaceFile(this.publicKeysFile, text, PUBLIC_MODE);
  }
}

function linesOf(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  const { size } = statSync(file);
  if (size > LIST_BYTES_READ_MAX)
    throw new ClawError("E_FILE", `${file} has ${size} bytes; ${LIST_BYTES_READ_MAX} are the most.`);
  // Zeros are what a loss of power leaves of lines that nobody was told of.
  return readFileSync(file, "utf8")
    .split(/[\n\0]/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** Whoever reads sees the old file or the new one, whole and durable when this returns. Errors: E_STATE_DIR; the old one stays. */
function replaceFile(file: string, text: string, mode: number): void {
  const fresh = `${file}.new`;
  try {
    withOpen(fresh, "w", (handle) => {
      writeFileSync(handle, text);
      fchmodSync(handle, mode);
      fsyncSync(handle);
    });
    renameSync(fresh, file);
    withOpen(dirname(file), "r", fsyncSync);
  } catch (error) {
    rmSync(fresh, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_STATE_DIR", `Cannot write ${file}: ${reason}.`, { cause: error });
  }
}

function withOpen(path: string, flags: string, use: (handle: number) => void): void {
  const handle = openSync(path, flags, PRIVATE_MODE);
  try {
    use(handle);
  } finally {
    closeSync(handle);
  }
}
