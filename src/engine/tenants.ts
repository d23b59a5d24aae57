/**
 * Fair shares between tenants: the virtual token counter (Sheng et al., "Fairness in Serving Large Language Models",
 * OSDI 2024). Every tenant's counter grows by the tokens it is served; whoever has the least goes next. A tenant that
 * was away comes back at the level of the least served one present, so that nobody saves up.
 */

import { assert } from "../base/mod.ts";
import { TENANTS_MAX } from "./limits.ts";

/** What a token costs: one that is drawn takes a step of its own, prompt tokens share one. */
const PROMPT_TOKEN_COST = 1;
const DRAWN_TOKEN_COST = 2;

interface Account {
  served: number;
  /** Requests in the engine. */
  requests: number;
}

export class Tenants {
  readonly #accounts = new Map<string, Account>();

  /** A request of the tenant has come. */
  arrive(tenant: string): void {
    const account = this.#accounts.get(tenant) ?? { served: 0, requests: 0 };
    if (account.requests === 0) {
      const present = [...this.#accounts.values()].filter(({ requests }) => requests > 0);
      const least = present.reduce((low, { served }) => Math.min(low, served), Number.POSITIVE_INFINITY);
      if (present.length > 0) account.served = Math.max(account.served, least);
    }
    account.requests++;
    this.#accounts.set(tenant, account);
    this.#bound();
  }

  /** A request of the tenant has ended. */
  leave(tenant: string): void {
    const account = this.#accounts.get(tenant);
    assert(account !== undefined && account.requests > 0, "Who leaves has arrived.");
    account.requests--;
  }

  /** The tenant was served; prompt tokens and drawn ones. */
  charge(tenant: string, promptTokens: number, drawnTokens: number): void {
    const account = this.#accounts.get(tenant);
    if (account !== undefined) {
      account.served += promptTokens * PROMPT_TOKEN_COST + drawnTokens * DRAWN_TOKEN_COST;
    }
  }

  served(tenant: string): number {
    return this.#accounts.get(tenant)?.served ?? 0;
  }

  /** Forgets tenants who are away, the longest known first, beyond the bound. */
  #bound(): void {
    for (const [tenant, { requests }] of this.#accounts) {
      if (this.#accounts.size <= TENANTS_MAX) return;
      if (requests === 0) this.#accounts.delete(tenant);
    }
  }
}
