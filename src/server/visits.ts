/** Requests as they come and go: what is known of each, and its line in the log. */

import type { FastifyReply, FastifyRequest } from "fastify";
import { RequestAccount } from "./account.ts";
import type { Surroundings } from "./completions.ts";
import { REQUEST_ID_MAX } from "./limits.ts";
import type { Log } from "./log.ts";
import type { ServerMetrics } from "./metrics/mod.ts";

/** Whose answer it is, and who is told where it fails. */
export interface Visit {
  readonly id: string;
  readonly account: RequestAccount;
  readonly log: Log;
}

export interface VisitOptions {
  readonly surroundings: Surroundings;
  readonly log: Log;
  readonly metrics: ServerMetrics;
}

/** What is known of the requests that are being answered. */
export class Visits {
  readonly #visits = new WeakMap<FastifyRequest, Visit>();
  readonly #options: VisitOptions;

  constructor(options: VisitOptions) {
    this.#options = options;
  }

  of(request: FastifyRequest): Visit {
    const { surroundings, log, metrics } = this.#options;
    const known = this.#visits.get(request);
    if (known !== undefined) return known;
    const visit = { id: request.id, account: new RequestAccount(surroundings.clock, metrics), log };
    this.#visits.set(request, visit);
    return visit;
  }
}

/** A client's own id for its request, where it can do no harm in a log or a header. */
export function requestId(given: string | string[] | undefined): string | undefined {
  if (typeof given !== "string" || given.length > REQUEST_ID_MAX) return undefined;
  return /^[\w.:-]+$/.test(given) ? given : undefined;
}

/** One line for each request, when its connection is done with it. */
export function logVisit({ id, account, log }: Visit, request: FastifyRequest, reply: FastifyReply): void {
  const left = !reply.raw.writableFinished;
  const line = {
    request: id,
    method: request.method,
    path: request.routeOptions.url ?? null,
    status: reply.raw.statusCode,
    ...account.summary(),
    ...(left ? { left: true } : {}),
  };
  log.info(line, left ? "The client left." : "A request was answered.");
}

/** A stream that outlived its request's connection, or did not have to, is drawn no more. */
export function endOf({ id, account, log }: Visit, attended: boolean): void {
  account.end();
  if (!attended) log.info({ request: id, ...account.summary() }, "A stream ended that nobody was reading.");
}
