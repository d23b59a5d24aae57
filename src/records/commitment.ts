/**
 * What entries say of confidential tokens: hashes with a salt that only the vault and the client have. Without the salt
 * they tell nothing, not even of an answer with a single likely token; with it they can be opened to one text only.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { concat, utf8 } from "../crypto/mod.ts";

/** SHA-256 over `openclaw/commitment/v1`, a line feed, the salt of 32 bytes, and the tokens as 32-bit little-endian integers. */
export function commitment(salt: Uint8Array, tokens: Iterable<number>): Uint8Array {
  return sha256(concat(utf8("openclaw/commitment/v1\n"), salt, tokenBytes(tokens)));
}

/** Computes SHA-256; another may be handed in where one is at hand that is faster. */
type Sha256 = (bytes: Uint8Array) => Uint8Array;

/**
 * The running hash of a stream: H0 is SHA-256 over `openclaw/tokens/v1`, a line feed and the salt; each token's is SHA-256
 * over the one before and the token as a 32-bit little-endian integer.
 */
export class RunningHash {
  readonly #sha256: Sha256;
  /** The hash, and room for a token behind it. */
  readonly #block = new Uint8Array(36);
  readonly #view = new DataView(this.#block.buffer);
  #count = 0;

  constructor(salt: Uint8Array, hash: Sha256 = sha256) {
    this.#sha256 = hash;
    this.#block.set(hash(concat(utf8("openclaw/tokens/v1\n"), salt)));
  }

  push(token: number): void {
    this.#view.setInt32(32, token, true);
    this.#block.set(this.#sha256(this.#block));
    this.#count++;
  }

  /** Tokens so far. */
  get count(): number {
    return this.#count;
  }

  get value(): Uint8Array {
    return this.#block.slice(0, 32);
  }
}

function tokenBytes(tokens: Iterable<number>): Uint8Array {
  const list = [...tokens];
  const bytes = new Uint8Array(list.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, token] of list.entries()) view.setInt32(i * 4, token, true);
  return bytes;
}
