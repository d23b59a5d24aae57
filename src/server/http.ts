/** The HTTP server: routes, and what surrounds every request. */

import { Readable } from "node:stream";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { ClawError } from "../base/mod.ts";
import { END_OF_EVENTS, encodeEvent, errorBody } from "../protocol/openai/mod.ts";
import { Completions, chat, completion, type Response, type Surroundings } from "./completions.ts";
import { publicError } from "./failures.ts";
import { type Guard, hostGuard, keyGuard, originGuard } from "./guards.ts";
import { BODY_BYTES_MAX, LOADING_RETRY_SECONDS, PATH_PARAMETER_MAX, REQUEST_TIMEOUT_MS } from "./limits.ts";
import type { ServedModels } from "./models.ts";

export interface ServerOptions {
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  /** Undefined: whoever reaches the server may use it. */
  readonly apiKey: string | undefined;
  /** Told what failed without being the client's fault. */
  readonly onFailure: (error: ClawError, requestId: string) => void;
  /** Receives one line of JSON for each request and each answer. */
  readonly log: { write(line: string): void } | undefined;
}

/** A server that is not listening yet. */
export function createHttpServer(options: ServerOptions): FastifyInstance {
  const { models, surroundings, log } = options;
  const app: FastifyInstance = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: PATH_PARAMETER_MAX },
    // Requests on open connections are still answered while the server closes; they fail with E_SHUTDOWN later on.
    return503OnClosing: false,
    forceCloseConnections: "idle",
    genReqId: () => surroundings.randomId(),
    logger: log === undefined ? false : { stream: log },
    frameworkErrors: (error, request, reply) => sendError(reply, error, { request, options }),
  });
  guardRoutes(app, options);
  const completions = new Completions(models, surroundings);
  app.get("/health", (_, reply) => {
    const { ready, body } = models.health();
    return reply.code(ready ? 200 : 503).send(body);
  });
  app.get("/v1/models", () => ({ object: "list", data: models.list() }));
  app.get<{ Params: { id: string } }>("/v1/models/:id", ({ params }) => models.describe(params.id));
  app.post("/v1/chat/completions", async (request, reply) => {
    const response = await completions.handle(chat, request.body, closing(reply));
    return respond(reply, response, { request, options });
  });
  app.post("/v1/completions", async (request, reply) => {
    const response = await completions.handle(completion, request.body, closing(reply));
    return respond(reply, response, { request, options });
  });
  return app;
}

/** Every request but a look at the health passes the guards; every response carries the request's id. */
function guardRoutes(app: FastifyInstance, options: ServerOptions): void {
  const { apiKey } = options;
  const guards: readonly Guard[] = [originGuard, apiKey === undefined ? hostGuard : keyGuard(apiKey)];
  // JSON is the only language spoken here; anything else is answered with E_JSON.
  app.removeContentTypeParser("text/plain");
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
    if (request.routeOptions.url === "/health") return;
    for (const guard of guards) guard(request.headers);
  });
  app.setErrorHandler((error, request, reply) => sendError(reply, error, { request, options }));
  app.setNotFoundHandler((request, reply) => {
    const missing = new ClawError("E_NOT_FOUND", `There is no ${request.method} ${request.url} here.`);
    return sendError(reply, missing, { request, options });
  });
}

interface Failing {
  readonly request: FastifyRequest;
  readonly options: ServerOptions;
}

/** The error for the client; what is not the client's fault is reported. */
function reported(thrown: unknown, { request, options }: Failing): ClawError {
  const error = publicError(thrown);
  if (error.status >= 500 && error.code !== "E_LOADING") options.onFailure(error, request.id);
  return error;
}

function sendError(reply: FastifyReply, thrown: unknown, failing: Failing): FastifyReply {
  const error = reported(thrown, failing);
  if (error.code === "E_LOADING") reply.header("retry-after", LOADING_RETRY_SECONDS);
  if (error.code === "E_AUTH") reply.header("www-authenticate", "Bearer");
  return reply.code(error.status).send(errorBody(error));
}

/** A signal that is aborted when the client leaves before the response is out. */
function closing({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once("close", () => {
    if (!raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

function respond(reply: FastifyReply, response: Response, failing: Failing): FastifyReply {
  if (response.type === "whole") return reply.send(response.body);
  reply.headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    // Asks proxies that buffer responses not to.
    "x-accel-buffering": "no",
  });
  // A stream that is piped waits for slow readers, and is destroyed when they leave.
  return reply.send(Readable.from(eventsOf(response.chunks, failing)));
}

/** The events of a stream; an error after its beginning is its last event. */
async function* eventsOf(
  chunks: AsyncIterable<object>,
  failing: Failing,
): AsyncGenerator<string, void, void> {
  try {
    for await (const chunk of chunks) yield encodeEvent(chunk);
    yield END_OF_EVENTS;
  } catch (thrown) {
    yield encodeEvent(errorBody(reported(thrown, failing)));
  }
}
