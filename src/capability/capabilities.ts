/** Capability tokens as a server takes them: verified, authorized, counted, and ended when they are revoked. */

import { createHash } from "node:crypto";
import { ClawError, type ErrorCode } from "../base/mod.ts";
import type { SpendingAccounts } from "./accounts.ts";
import { BURNT_MAX, BURNT_SECONDS, DECISIONS_MAX, TOKEN_CHARS_MAX } from "./limits.ts";
import { factsOf, type Operation } from "./operation.ts";
import type { Revoked } from "./revoked-list.ts";
import type { Identity, Question, RootKey, Verdict } from "./verdict.ts";

/** Whoever looks at tokens. */
export interface Authorizer {
  ask(question: Question): Promise<Verdict>;
  useKeys(keys: readonly RootKey[]): void;
}

/** What is counted for /metrics. */
export interface CapabilityCounts {
  allowed: number;
  cacheHits: number;
  watchdogKills: number;
  readonly denied: Partial<Record<ErrorCode, number>>;
}

/** An operation that was allowed and goes on. */
export interface Lease {
  /** Whose token allowed it. */
  readonly identity: Identity;
  readonly revocationIds: readonly string[];
  /** Aborted with the reason when the token is revoked. */
  readonly signal: AbortSignal;
  /** Takes tokens from the budgets. Errors: E_TOKEN_BUDGET. */
  spend(tokens: number): void;
  /** It is over. */
  release(): void;
}

interface Parts {
  readonly authorizer: Authorizer;
  readonly accounts: SpendingAccounts;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class Capabilities {
  readonly #parts: Parts;
  readonly counts: CapabilityCounts = { allowed: 0, cacheHits: 0, watchdogKills: 0, denied: {} };
  readonly #decisions = new Map<string, Verdict>();
  /** Until when they are not looked at, in seconds. */
  readonly #burnt = new Map<string, number>();
  readonly #open = new Set<{ readonly identity: Identity; readonly controller: AbortController }>();
  #revoked: Revoked = new Set();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Whose token it is. Errors: E_TOKEN, E_TOKEN_REVOKED, E_TOKEN_COST, E_OVERLOADED. */
  identify(token: string): Promise<Identity> {
    return this.#counted(() => this.#verdict(token, undefined));
  }

  /** Allows one operation. Errors: those of `identify`, E_CAPABILITY, E_TOKEN_EXPIRED. */
  authorize(token: string, operation: Operation): Promise<Identity> {
    return this.#counted(async () => {
      const identity = await this.#verdict(token, factsOf(operation));
      this.counts.allowed++;
      return identity;
    });
  }

  /** Allows an operation that takes time and is counted. Errors: those of `authorize`, E_TOKEN_BUDGET, E_TOKEN_RATE. */
  async open(token: string, operation: Operation): Promise<Lease> {
    const identity = await this.authorize(token, operation);
    const { accounts, now } = this.#parts;
    await this.#counted(async () => accounts.request(identity, now() / 1000));
    return this.resume(identity);
  }

  /** Goes on with an operation that was allowed elsewhere: no new request, but counted and ended as any. */
  resume(identity: Identity): Lease {
    const { accounts } = this.#parts;
    const entry = { identity, controller: new AbortController() };
    this.#open.add(entry);
    const revoked = this.#revocation(identity);
    if (revoked !== undefined) entry.controller.abort(revoked);
    return {
      identity,
      revocationIds: identity.revocationIds,
      signal: entry.controller.signal,
      spend: (tokens) => {
        try {
          accounts.tokens(identity, tokens);
        } catch (error) {
          this.#deny(error);
          throw error;
        }
      },
      release: () => this.#open.delete(entry),
    };
  }

  /** Refuses all tokens with one of these ids from now on, and ends what they have open; returns how many that were. */
  revoke(ids: Revoked): number {
    this.#revoked = ids;
    let ended = 0;
    for (const { identity, controller } of this.#open) {
      const error = this.#revocation(identity);
      if (error === undefined || controller.signal.aborted) continue;
      controller.abort(error);
      ended++;
    }
    return ended;
  }

  useKeys(keys: readonly RootKey[]): void {
    this.#decisions.clear();
    this.#parts.authorizer.useKeys(keys);
  }

  /** A worker was ended because of a token: it is not looked at again for a while. */
  burnt(token: string): void {
    this.counts.watchdogKills++;
    if (this.#burnt.size >= BURNT_MAX) forgetFirst(this.#burnt);
    this.#burnt.set(digestOf(token), this.#parts.now() / 1000 + BURNT_SECONDS);
  }

  async #verdict(token: string, facts: string | undefined): Promise<Identity> {
    if (token.length > TOKEN_CHARS_MAX) {
      const most = `${TOKEN_CHARS_MAX} are the most`;
      throw new ClawError("E_TOKEN", `The capability token has ${token.length} letters; ${most}.`);
    }
    const digest = digestOf(token);
    const now = Math.floor(this.#parts.now() / 1000);
    if ((this.#burnt.get(digest) ?? 0) > now)
      throw new ClawError("E_TOKEN_COST", "The token took too long before.");
    const { identity, refusal } = await this.#decided(`${digest} ${facts ?? ""}`, { token, facts, now });
    const revoked = identity === undefined ? undefined : this.#revocation(identity);
    if (revoked !== undefined) throw revoked;
    if (refusal !== undefined) throw new ClawError(refusal.code, refusal.message);
    if (identity !== undefined) return identity;
    throw new ClawError("E_TOKEN", "The capability token cannot be verified.");
  }

  /** A digest stands for the chain of revocation ids that was verified for it. */
  async #decided(key: string, question: Question): Promise<Verdict> {
    const known = this.#decisions.get(key);
    if (known !== undefined && question.now < known.holdsUntil) {
      this.counts.cacheHits++;
      return known;
    }
    const verdict = await this.#parts.authorizer.ask(question);
    // What was given up is no decision, and texts that nobody signed may be as many as anybody likes.
    if (verdict.identity !== undefined && verdict.refusal?.code !== "E_TOKEN_COST") {
      if (this.#decisions.size >= DECISIONS_MAX) forgetFirst(this.#decisions);
      this.#decisions.delete(key);
      this.#decisions.set(key, verdict);
    }
    return verdict;
  }

  #revocation({ revocationIds }: Identity): ClawError | undefined {
    const block = revocationIds.findIndex((id) => this.#revoked.has(id));
    if (block < 0) return undefined;
    const id = `${revocationIds[block]?.slice(0, 16)}…`;
    return new ClawError("E_TOKEN_REVOKED", `Block ${block} of the token, ${id}, is revoked.`);
  }

  async #counted<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      this.#deny(error);
      throw error;
    }
  }

  #deny(error: unknown): void {
    if (!(error instanceof ClawError)) return;
    this.counts.denied[error.code] = (this.counts.denied[error.code] ?? 0) + 1;
  }
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64url");
}

function forgetFirst(collection: { keys(): Iterator<string>; delete(key: string): boolean }): void {
  const first = collection.keys().next();
  if (first.done !== true) collection.delete(first.value);
}
