/** Public keys of tokens, and tokens verified by them. */

import { ClawError } from "../base/mod.ts";
import type { Biscuits, PublicKey, Token } from "./biscuit.ts";
import { BLOCKS_MAX, TOKEN_CHARS_MAX } from "./limits.ts";
import type { RootKey } from "./verdict.ts";

/** What a public key begins with. */
const ALGORITHM = "ed25519/";

/** A token whose signatures are good, and the Datalog of its blocks. `token` has to be freed. */
export interface Verified {
  readonly token: Token;
  readonly sources: readonly string[];
}

export class RootKeys {
  readonly #biscuits: Biscuits;
  /** Public keys in hexadecimal: the library takes a key object for itself when it is handed one. */
  readonly #keys: ReadonlyMap<number, string>;
  /** Nobody has its private half: the library panics where it is given no key for an unknown number. */
  readonly #nobody: string;

  constructor(biscuits: Biscuits, keys: readonly RootKey[]) {
    this.#biscuits = biscuits;
    const { KeyPair, SignatureAlgorithm } = biscuits;
    const hexOf = (publicKey: string): string => publicKey.slice(ALGORITHM.length);
    this.#keys = new Map(keys.map(({ id, publicKey }) => [id, hexOf(publicKey)]));
    this.#nobody = hexOf(new KeyPair(SignatureAlgorithm.Ed25519).getPublicKey().toString());
  }

  /** Errors: E_TOKEN; what the library throws when it is broken for good, as it is. */
  verify(text: string): Verified {
    if (text.length > TOKEN_CHARS_MAX) {
      const most = `${TOKEN_CHARS_MAX} are the most`;
      throw new ClawError("E_TOKEN", `The capability token has ${text.length} letters; ${most}.`);
    }
    const { PublicKey, SignatureAlgorithm } = this.#biscuits;
    let unknown: string | undefined;
    const provider = (id: number | undefined): PublicKey => {
      const key = this.#keys.get(id ?? -1);
      if (key === undefined)
        unknown = id === undefined ? "names no root key" : `is of root key ${id}, which is not known`;
      return PublicKey.fromString(key ?? this.#nobody, SignatureAlgorithm.Ed25519);
    };
    try {
      const token = this.#biscuits.Biscuit.fromBase64WithProvider(text, provider);
      return { token, sources: sourcesOf(token) };
    } catch (error) {
      if (error instanceof ClawError || isBroken(error)) throw error;
      const reason = unknown ?? `cannot be verified: ${reasonOf(error)}`;
      throw new ClawError("E_TOKEN", `The capability token ${reason}.`, { cause: error });
    }
  }
}

function sourcesOf(token: Token): readonly string[] {
  const blocks = token.countBlocks();
  if (blocks <= BLOCKS_MAX) return Array.from({ length: blocks }, (_, block) => token.getBlockSource(block));
  token.free();
  throw new ClawError("E_TOKEN", `The capability token has ${blocks} blocks; ${BLOCKS_MAX} are the most.`);
}

export function revocationIdsOf(token: Token): readonly string[] {
  return token.getRevocationIdentifiers().map(String);
}

/** What the library says, which are no Error objects. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return (typeof error === "string" ? error : JSON.stringify(error)).slice(0, 200);
}

/**
 * Uses an object of the library and frees it; not where the library panicked meanwhile, because then the object is lent for
 * good, and freeing it would only hide what happened.
 */
export function lent<O extends { free(): void }, T>(object: O, use: (object: O) => T): T {
  let result: T;
  try {
    result = use(object);
  } catch (error) {
    if (!isBroken(error)) object.free();
    throw error;
  }
  object.free();
  return result;
}

/** Whether the library panicked; nothing it says after that means anything. */
export function isBroken(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
}
