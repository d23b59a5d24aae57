/** Answers and errors on their way out. */

import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { ClawError } from "../base/mod.ts";
import { END_OF_STREAM, encodeEvent, errorBody } from "../protocol/openai/mod.ts";
import type { Response } from "./completions.ts";
import { publicError } from "./failures.ts";
import {
  LOADING_RETRY_SECONDS,
  OVERLOAD_RETRY_SECONDS,
  SHUTDOWN_RETRY_SECONDS,
  STANDBY_RETRY_SECONDS,
} from "./limits.ts";
import type { Chunk } from "./rendering.ts";
import type { KeptStream, Tenure } from "./streams/mod.ts";
import type { Visit } from "./visits.ts";

/** After how many seconds a client should ask again, where an error does not say. */
const retrySeconds: Readonly<Record<string, number>> = {
  E_LOADING: LOADING_RETRY_SECONDS,
  E_OVERLOADED: OVERLOAD_RETRY_SECONDS,
  E_SHUTDOWN: SHUTDOWN_RETRY_SECONDS,
  E_STANDBY: STANDBY_RETRY_SECONDS,
};

/** The error for the client; what is not the client's fault and no state that passes is reported. */
export function reported(thrown: unknown, { id, account, log }: Visit): ClawError {
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

interface Delivery {
  readonly visit: Visit;
  /** Nothing is delivered when it is over. */
  readonly tenure: Tenure;
}

export function sendResponse(reply: FastifyReply, response: Response, delivery: Delivery): FastifyReply {
  if (response.type === "whole") return reply.send(response.body);
  if (response.type === "stream") return sendEvents(reply, eventsOf(response.chunks, delivery));
  const { stream } = response;
  delivery.visit.account.stream = stream.id;
  return sendStream(reply, stream, { ...delivery, counts: stream.log.counts.map(() => 0) });
}

/** Sends the events after those that a client has, of each answer so many. */
export function sendStream(
  reply: FastifyReply,
  stream: KeptStream,
  { counts, tenure, visit }: Delivery & { readonly counts: readonly number[] },
): FastifyReply {
  // Another server goes on with it when this one stops, the sooner the better.
  if (tenure.journal !== undefined) visit.account.release();
  const events = stream.read(counts, { signal: closing(reply, tenure), tenure });
  // Whoever draws the stream has reported what it failed with.
  return sendEvents(
    reply,
    withError(events, (thrown) => {
      const error = publicError(thrown);
      visit.account.error ??= error.code;
      return error;
    }),
  );
}

function sendEvents(reply: FastifyReply, events: AsyncIterable<string>): FastifyReply {
  reply.headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    // Asks proxies that buffer responses not to.
    "x-accel-buffering": "no",
  });
  // A stream that is piped waits for slow readers, and is destroyed when they leave.
  return reply.send(Readable.from(events));
}

/** The events of a stream that ends with its connection. */
function eventsOf(chunks: AsyncIterable<Chunk>, { visit, tenure }: Delivery): AsyncIterable<string> {
  const events = async function* (): AsyncGenerator<string, void, void> {
    for await (const { body } of chunks) {
      tenure.check();
      yield encodeEvent(JSON.stringify(body));
    }
    yield encodeEvent(END_OF_STREAM);
  };
  return withError(events(), (thrown) =>
    reported(tenure.signal.aborted ? tenure.signal.reason : thrown, visit),
  );
}

/** An error after a stream's beginning is its last event; it has no id, so that a client comes back for what it lacks. */
async function* withError(
  events: AsyncIterable<string>,
  errorOf: (thrown: unknown) => ClawError,
): AsyncGenerator<string, void, void> {
  try {
    yield* events;
  } catch (thrown) {
    yield encodeEvent(JSON.stringify(errorBody(errorOf(thrown))));
  }
}

/** A signal that is aborted when the client leaves before the response is out, or the server may not answer any more. */
export function closing({ raw }: FastifyReply, { signal }: Pick<Tenure, "signal">): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  signal.addEventListener("abort", abort);
  raw.once("close", () => {
    // The tenure outlives the request.
    signal.removeEventListener("abort", abort);
    if (!raw.writableFinished) abort();
  });
  return controller.signal;
}
