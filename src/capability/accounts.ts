/** What was spent under each revocation id, and whether there is more. */

import { assert, ClawError } from "../base/mod.ts";
import type { Spent, SpentStore } from "./journal.ts";
import { METERS_PER_ROOT_MAX } from "./limits.ts";
import type { Meter } from "./meters.ts";
import type { Identity } from "./verdict.ts";

export class SpendingAccounts {
  readonly #store: SpentStore;
  readonly #spent: Map<string, Spent>;
  /** When requests came, in seconds, by id and window; the oldest first. */
  readonly #recent = new Map<string, number[]>();
  /** Accounts by the first block's id. */
  readonly #derived = new Map<string, Set<string>>();

  constructor(store: SpentStore) {
    this.#store = store;
    this.#spent = new Map(store.read());
  }

  /** Counts a request, in every account or in none. `now` is in seconds. Errors: E_TOKEN_BUDGET, E_TOKEN_RATE. */
  request(identity: Identity, now: number): void {
    const { meters } = identity;
    this.#bound(identity);
    for (const meter of meters) this.#check(meter, accountOf(identity, meter), now);
    for (const meter of meters) {
      if (meter.seconds !== undefined) this.#window(meter, accountOf(identity, meter), now).push(now);
    }
    for (const id of idsOf(identity)) this.#add(id, { tokens: 0, requests: 1 });
  }

  /** Takes tokens from every budget, or from none. Errors: E_TOKEN_BUDGET, naming the one that has not enough. */
  tokens(identity: Identity, tokens: number): void {
    assert(tokens >= 0, "what is spent is not negative");
    for (const meter of identity.meters) {
      if (meter.counts !== "tokens") continue;
      const id = accountOf(identity, meter);
      const { tokens: spent } = this.#of(id);
      if (spent + tokens <= meter.limit) continue;
      throw spentError(meter, id, `${spent} are spent, and ${tokens} more are needed`);
    }
    for (const id of idsOf(identity)) this.#add(id, { tokens, requests: 0 });
  }

  close(): void {
    this.#store.close();
  }

  #check(meter: Meter, id: string, now: number): void {
    const { counts, limit, seconds } = meter;
    if (seconds === undefined) {
      if (this.#of(id)[counts] < limit) return;
      throw spentError(meter, id, "all of it is spent");
    }
    const times = this.#window(meter, id, now);
    if (times.length < limit) return;
    const retryAfterSeconds = Math.max(1, Math.ceil((times[0] ?? now) + seconds - now));
    const what = `${limit} requests in ${seconds} seconds`;
    throw new ClawError("E_TOKEN_RATE", `Block ${meter.block} of the token allows ${what}.`, {
      retryAfterSeconds,
    });
  }

  #window({ seconds = 0 }: Meter, id: string, now: number): number[] {
    const key = `${id} ${seconds}`;
    const times = this.#recent.get(key) ?? [];
    this.#recent.set(key, times);
    const from = times.findIndex((time) => time > now - seconds);
    times.splice(0, from < 0 ? times.length : from);
    return times;
  }

  /** Whoever holds a token can derive any number of budgets from it, but may not fill the memory with them. */
  #bound(identity: Identity): void {
    if (identity.meters.length === 0) return;
    const [root = ""] = identity.revocationIds;
    const derived = this.#derived.get(root) ?? new Set();
    this.#derived.set(root, derived);
    const fresh = idsOf(identity).filter((id) => !derived.has(id));
    if (derived.size + fresh.length > METERS_PER_ROOT_MAX) {
      const most = `${METERS_PER_ROOT_MAX} budgets that are derived from one token`;
      throw new ClawError("E_TOKEN_BUDGET", `The server counts at most ${most}.`);
    }
    for (const id of fresh) derived.add(id);
  }

  #of(id: string): Spent {
    return this.#spent.get(id) ?? { tokens: 0, requests: 0 };
  }

  #add(id: string, more: Spent): void {
    const { tokens, requests } = this.#of(id);
    const totals = { tokens: tokens + more.tokens, requests: requests + more.requests };
    this.#spent.set(id, totals);
    this.#store.note(id, totals);
  }
}

function accountOf({ revocationIds }: Identity, { block }: Meter): string {
  const id = revocationIds[block];
  assert(id !== undefined, "a meter is of a block that the token has");
  return id;
}

/** The accounts that a token has budgets in. */
function idsOf(identity: Identity): readonly string[] {
  return [...new Set(identity.meters.map((meter) => accountOf(identity, meter)))];
}

function spentError({ counts, limit, block }: Meter, id: string, why: string): ClawError {
  const which = `block ${block}, revocation id ${id.slice(0, 16)}…`;
  return new ClawError(
    "E_TOKEN_BUDGET",
    `The budget of ${limit} ${counts} (${which}) is not enough: ${why}.`,
  );
}
