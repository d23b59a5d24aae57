/** Capability tokens in place of API keys: who comes with one, and what it opens. */

import { type Capabilities, type Operation, TOKEN_CHARS_MIN } from "../capability/mod.ts";
import type { KeyScope } from "../config/mod.ts";
import type { RequestAccount } from "./account.ts";
import type { KeyRing } from "./keys.ts";
import type { ServedModel } from "./models.ts";

/** Endpoints that are authorized when it is known which model is asked for. */
const generating: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/streams/:id",
]);

interface Called {
  readonly scope: KeyScope;
  /** The route; undefined: there is none. */
  readonly endpoint: string | undefined;
}

export class TokenDoor {
  readonly #capabilities: Capabilities;
  readonly #keys: KeyRing;

  constructor(capabilities: Capabilities, keys: KeyRing) {
    this.#capabilities = capabilities;
    this.#keys = keys;
  }

  /** Whether a credential is a token, by its length and because it is no known key. */
  takes(bearer: string | undefined): bearer is string {
    return bearer !== undefined && bearer.length >= TOKEN_CHARS_MIN && !this.#keys.has(bearer);
  }

  /** Notes whose token it is; allows what is called, unless its body has to be known. Errors: E_CAPABILITY, E_TOKEN…. */
  async enter(account: RequestAccount, token: string, { scope, endpoint }: Called): Promise<void> {
    const capabilities = this.#capabilities;
    const { tenant, revocationIds } = await capabilities.identify(token);
    account.caller = { tenant, scopes: [], priorityMin: 0, token };
    account.revocationIds = revocationIds;
    if (endpoint === undefined || generating.has(endpoint)) return;
    await capabilities.authorize(token, { kind: scope === "inference" ? "list" : scope, endpoint });
  }

  /** What allows a model to the request, and opens its budgets; undefined where it came with an API key. */
  admission(account: RequestAccount, endpoint: string): ((model: ServedModel) => Promise<void>) | undefined {
    const token = account.caller?.token;
    if (token === undefined) return undefined;
    return async (model) => {
      account.lease = await this.#capabilities.open(token, await operationOf(endpoint, model));
    };
  }

  /** Allows that somebody goes on reading what was asked for before: no new request, but a right that may have ended. */
  async readmit(
    { caller }: RequestAccount,
    { endpoint, model }: { readonly endpoint: string; readonly model: ServedModel },
  ): Promise<void> {
    const token = caller?.token;
    if (token !== undefined) await this.#capabilities.authorize(token, await operationOf(endpoint, model));
  }
}

async function operationOf(endpoint: string, { id, root, adapter }: ServedModel): Promise<Operation> {
  // A model with an adapter is also the model: whoever may use that, and the adapter, may use both together.
  const names = adapter === undefined ? [id] : [adapter.base, id];
  const known = await root;
  const models = known === undefined ? names : [...names, known];
  const adapters = adapter === undefined ? [] : [adapter.name];
  return { kind: "inference", endpoint, models, adapters, tools: [] };
}
