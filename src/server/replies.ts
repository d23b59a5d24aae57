/** Answers and errors on their way out. */

import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { ClawError } from "../base/mod.ts";
import { END_OF_EVENTS, encodeEvent, errorBody } from "../protocol/openai/mod.ts";
import type { RequestAccount } from "./account.ts";
import type { Response } from "./completions.ts";
import { publicError } from "./failures.ts";
import { LOADING_RETRY_SECONDS, OVERLOAD_RETRY_SECONDS, SHUTDOWN_RETRY_SECONDS } from "./limits.ts";
import type { Log } from "./log.ts";

/** Whose answer it is, and who is told where it fails. */
export interface Visit {
  readonly id: string;
  readonly account: RequestAccount;
  readonly log: Log;
}

/** After how many seconds a client should ask again, where an error does not say. */
const retrySeconds: Readonly<Record<string, number>> = {
  E_LOADING: LOADING_RETRY_SECONDS,
  E_OVERLOADED: OVERLOAD_RETRY_SECONDS,
  E_SHUTDOWN: SHUTDOWN_RETRY_SECONDS,
};

/** The error for the client; what is not the client's fault and no state that passes is reported. */
function reported(thrown: unknown, { id, account, log }: Visit): ClawError {
  const error = publicError(thrown);
  account.error = error.code;
  const passes =
    error.code === "E_LOADING" || error.code === "E_DEADLINE" || error.retryAfterSeconds !== undefined;
  if (error.status >= 500 && !passes) {
    const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : undefined;
    log.error({ request: id, code: error.code, reason: error.message, cause }, "A request failed.");
  }
  return error;
}

export function sendError(reply: FastifyReply, thrown: unknown, visit: Visit): FastifyReply {
  const error = reported(thrown, visit);
  const retry = error.retryAfterSeconds ?? retrySeconds[error.code];
  if (retry !== undefined) reply.header("retry-after", Math.ceil(retry));
  if (error.code === "E_AUTH") reply.header("www-authenticate", "Bearer");
  return reply.code(error.status).send(errorBody(error));
}

export function sendResponse(reply: FastifyReply, response: Response, visit: Visit): FastifyReply {
  if (response.type === "whole") return reply.send(response.body);
  reply.headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    // Asks proxies that buffer responses not to.
    "x-accel-buffering": "no",
  });
  // A stream that is piped waits for slow readers, and is destroyed when they leave.
  return reply.send(Readable.from(eventsOf(response.chunks, visit)));
}

/** The events of a stream; an error after its beginning is its last event. */
async function* eventsOf(chunks: AsyncIterable<object>, visit: Visit): AsyncGenerator<string, void, void> {
  try {
    for await (const chunk of chunks) yield encodeEvent(chunk);
    yield END_OF_EVENTS;
  } catch (thrown) {
    yield encodeEvent(errorBody(reported(thrown, visit)));
  }
}
