/** Who calls: API keys, whose they are, and what they open. */

import { createHash } from "node:crypto";
import { ClawError } from "../base/mod.ts";
import type { KeyScope } from "../config/mod.ts";

/** Whoever a request is answered for. */
export interface Caller {
  readonly tenant: string;
  readonly scopes: readonly KeyScope[];
  /** The most urgent priority that its requests may ask for; lower numbers come first. */
  readonly priorityMin: number;
  /** The capability token that it came with; every operation is authorized by it, and `scopes` is empty. */
  readonly token?: string;
}

/** Whoever calls a server that asks for no key. */
export const anyone: Caller = { tenant: "anyone", scopes: ["inference", "metrics"], priorityMin: 0 };

/** A key by the SHA-256 of its bytes, in hexadecimal. */
export interface HashedKey {
  readonly digest: string;
  readonly caller: Caller;
}

export function digestOf(key: string | Uint8Array): string {
  return createHash("sha256").update(key).digest("hex");
}

/**
 * The keys of a server. They are looked up by digest: how long that takes says nothing about a key, because nobody can
 * choose a digest.
 */
export class KeyRing {
  #callers: ReadonlyMap<string, Caller>;
  readonly #anonymous: Caller | undefined;

  /** `anonymous`: whoever calls without a key that is known; undefined: nobody may. */
  constructor(keys: readonly HashedKey[], anonymous: Caller | undefined) {
    this.#callers = byDigest(keys);
    this.#anonymous = anonymous;
  }

  /** Whether anybody who reaches the server may use it. */
  get isOpen(): boolean {
    return this.#anonymous !== undefined;
  }

  /** Whether it is one of the keys. */
  has(key: string): boolean {
    return this.#callers.has(digestOf(key));
  }

  replace(keys: readonly HashedKey[]): void {
    this.#callers = byDigest(keys);
  }

  /** The owner of the key in `Authorization: Bearer KEY`. Errors: E_AUTH without one that is known. */
  identify(authorization: string | undefined): Caller {
    const given = bearerOf(authorization);
    const caller = given === undefined ? undefined : this.#callers.get(digestOf(given));
    const known = caller ?? this.#anonymous;
    if (known !== undefined) return known;
    throw new ClawError(
      "E_AUTH",
      given === undefined ? "The request has no API key." : "The API key is wrong.",
    );
  }
}

/** The credential in `Authorization: Bearer CREDENTIAL`. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
}

function byDigest(keys: readonly HashedKey[]): ReadonlyMap<string, Caller> {
  return new Map(keys.map(({ digest, caller }) => [digest, caller]));
}
