/** What a worker finds out about a token and one operation. */

import type { ErrorCode } from "../base/mod.ts";
import type { Meter } from "./meters.ts";

/** A token whose signatures are good. */
export interface Identity {
  readonly tenant: string;
  /** One for each block, the first block's first; in hexadecimal. */
  readonly revocationIds: readonly string[];
  readonly meters: readonly Meter[];
}

export interface Verdict {
  /** Undefined: the signatures are not good. */
  readonly identity: Identity | undefined;
  /** Undefined: allowed. */
  readonly refusal: { readonly code: ErrorCode; readonly message: string } | undefined;
  /** In seconds since 1970; the verdict is another one from then on, or may be. */
  readonly holdsUntil: number;
}

/** What a worker is asked. */
export interface Question {
  readonly token: string;
  /** Facts of the operation; undefined: whose token is it? */
  readonly facts: string | undefined;
  /** In whole seconds since 1970. */
  readonly now: number;
}

/** A public key of tokens, by its number. */
export interface RootKey {
  readonly id: number;
  /** `ed25519/` and 64 hexadecimal digits. */
  readonly publicKey: string;
}
