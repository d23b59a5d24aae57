/** Streams of a server that died, gone on with here. */

import { ClawError } from "../base/mod.ts";
import type { Capabilities } from "../capability/mod.ts";
import type { FoundStream } from "../journal/mod.ts";
import { type AccountListener, RequestAccount } from "./account.ts";
import type { Completions, Surroundings } from "./completions.ts";
import type { Log } from "./log.ts";
import type { ServedModel, ServedModels } from "./models.ts";
import { jobsOf } from "./orders.ts";
import { reported } from "./replies.ts";
import type { Tenure } from "./streams/mod.ts";
import { type KeptStream, type Opening, readOpening } from "./streams/mod.ts";
import { endOf } from "./visits.ts";

interface TakeoverOptions {
  readonly completions: Completions;
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  readonly capabilities: Capabilities | undefined;
  readonly metrics: AccountListener;
  readonly log: Log;
}

interface Taking {
  readonly tenure: Tenure;
  /** Forgets what others kept of the stream. */
  readonly retire: () => Promise<void>;
}

/**
 * Goes on with a stream. Errors: E_CONTROL for an opening that cannot be read, E_MODEL_NOT_FOUND, E_STREAM where another model
 * answered, E_DEADLINE where its time is over.
 */
export async function takeOver(
  { opening, drawn }: FoundStream,
  { tenure, retire }: Taking,
  options: TakeoverOptions,
): Promise<KeptStream> {
  const { models, surroundings, completions, capabilities, metrics, log } = options;
  const known = openingOf(opening);
  const { order, request, tenant, identity, openedAt, timeoutMs } = known;
  const model = models.find(order.head.model);
  await checkModel(known, model);
  const left = openedAt + timeoutMs - surroundings.now();
  if (left <= 0) throw new ClawError("E_DEADLINE", `The stream's ${timeoutMs / 1000} seconds are over.`);
  const account = new RequestAccount(surroundings.clock, metrics);
  account.caller = { tenant, scopes: [], priorityMin: order.priority };
  account.stream = order.head.id;
  if (identity !== undefined) {
    if (capabilities === undefined) throw new ClawError("E_STREAM", "Capability tokens are not taken here.");
    account.revocationIds = identity.revocationIds;
    account.lease = capabilities.resume(identity);
  }
  const visit = { id: request, account, log };
  const client = {
    id: request,
    account,
    timeoutMs: Math.min(left, timeoutMs),
    report: (thrown: unknown) => reported(thrown, visit),
    onEnd: (attended: boolean) => endOf(visit, attended),
    tenure,
  };
  return completions.inherit({ client, model, drawn, opening: known, retire });
}

/**
 * Has what others keep of a stream brought near: this server may be the next to go on with it. Errors: E_CONTROL for an opening that
 * cannot be read, E_MODEL_NOT_FOUND, E_STREAM where another model answers.
 */
export async function expectStream(
  { opening, drawn }: FoundStream,
  { models }: Pick<TakeoverOptions, "models">,
): Promise<void> {
  const known = openingOf(opening);
  const { order, tenant } = known;
  const model = models.find(order.head.model);
  await checkModel(known, model);
  for (const [index, job] of jobsOf(order).entries()) {
    const tokens = drawn.get(index) ?? [];
    if (tokens.at(-1)?.finish !== undefined) continue;
    const { prompt, maxTokens, sampling, stopTokens, adapter } = job;
    const told = Int32Array.from(tokens, ({ token }) => token);
    model.generator.expect?.({ prompt, maxTokens, sampling, stopTokens, adapter, tenant, drawn: told });
  }
}

function openingOf(text: string): Opening {
  const known = readOpening(text);
  if (known === undefined) throw new ClawError("E_CONTROL", "A stream's opening is malformed.");
  return known;
}

/** Only the same model, computed in the same way, draws the same tokens. */
async function checkModel({ order, root }: Opening, model: ServedModel): Promise<void> {
  const { fingerprint } = order.head;
  const known = await model.root;
  if (fingerprint === model.fingerprint && (root === undefined || root === known)) return;
  const other = fingerprint === model.fingerprint ? `${known}, not ${root}` : model.fingerprint;
  throw new ClawError("E_STREAM", `The stream was begun by ${fingerprint}; this server has ${other}.`);
}
