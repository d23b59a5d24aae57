/** The HTTP server: routes, and what surrounds every request. */

import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import type { Ledger } from "../audit/mod.ts";
import { ClawError } from "../base/mod.ts";
import type { Capabilities } from "../capability/mod.ts";
import type { HttpOptions, KeyScope } from "../config/mod.ts";
import type { AnswerParameters } from "../protocol/openai/mod.ts";
import type { RequestAccount } from "./account.ts";
import { type Administration, describeConfiguration, putConfiguration, readRevocations } from "./admin.ts";
import type { Admission } from "./admission.ts";
import type { Asker, Completions, Surroundings } from "./completions.ts";
import { checkLocal, checkScope, hostGuard, originGuard } from "./guards.ts";
import { bearerOf, type KeyRing } from "./keys.ts";
import { chat, completion, type Kind } from "./kinds.ts";
import { BODY_BYTES_MAX, PATH_PARAMETER_MAX, REQUEST_TIMEOUT_MS } from "./limits.ts";
import type { Log } from "./log.ts";
import type { ServerMetrics } from "./metrics/mod.ts";
import type { ServedModels } from "./models.ts";
import { closing, reported, sendError, sendResponse } from "./replies.ts";
import { addStreams, lastEventOf, resume, type StreamRoutes } from "./stream-routes.ts";
import { during, type KeptStreams, type Standing } from "./streams/mod.ts";
import { TokenDoor } from "./token-door.ts";
import { endOf, logVisit, requestId, Visits } from "./visits.ts";

/** Settings that are looked at anew for every request. */
export type HttpSettings = Pick<
  HttpOptions,
  "adminRemote" | "metricsAuthentication" | "requestTimeoutSeconds"
>;

export interface ServerOptions {
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  readonly keys: KeyRing;
  /** Undefined: capability tokens are not taken. */
  readonly capabilities?: Capabilities | undefined;
  /** Undefined: answers are not recorded, and there are no receipts. */
  readonly ledger?: Ledger | undefined;
  readonly admission: Admission;
  readonly completions: Completions;
  readonly streams: KeptStreams;
  /** Whether this server may answer. */
  readonly standing: Standing;
  readonly settings: () => HttpSettings;
  readonly log: Log;
  readonly metrics: ServerMetrics;
  /** Undefined: the server has no /admin. */
  readonly administration: Administration | undefined;
}

/** A server that is not listening yet. */
export function createHttpServer(options: ServerOptions): FastifyInstance {
  const { models, surroundings, administration, metrics } = options;
  const app: FastifyInstance = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: PATH_PARAMETER_MAX },
    // Requests on open connections are still answered while the server closes; they fail with E_SHUTDOWN later on.
    return503OnClosing: false,
    forceCloseConnections: "idle",
    genReqId: ({ headers }) => requestId(headers["x-request-id"]) ?? surroundings.randomId(),
    frameworkErrors: (error, request, reply) => sendError(reply, error, visits.of(request)),
  });
  const visits = new Visits(options);
  surroundRoutes(app, options, visits);
  app.get("/health", (_, reply) => {
    const { ready, body } = healthOf(options);
    return reply.code(ready ? 200 : 503).send(body);
  });
  app.get("/metrics", async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  app.get("/v1/models", () => ({ object: "list", data: models.list() }));
  app.get<{ Params: { id: string } }>("/v1/models/:id", ({ params }) => models.describe(params.id));
  const routes = { ...options, door: doorOf(options), visits };
  addAnswers(app, chat, routes);
  addAnswers(app, completion, routes);
  addStreams(app, routes);
  if (options.ledger !== undefined) addReceipts(app, options.ledger, visits);
  if (administration !== undefined) addAdminRoutes(app, administration);
  return app;
}

interface Routes extends ServerOptions, StreamRoutes {}

/** The path of one kind of request. */
function addAnswers<R extends AnswerParameters>(app: FastifyInstance, kind: Kind<R>, routes: Routes): void {
  const { completions, door, visits, standing, settings } = routes;
  app.post(kind.endpoint, async (request, reply) => {
    const visit = visits.of(request);
    const last = lastEventOf(request);
    if (last !== undefined) return resume(reply, last, { ...routes, visit });
    const { id, account } = visit;
    const tenure = await standing.tenure();
    const asker: Asker = {
      id,
      account,
      signal: closing(reply, tenure),
      timeoutMs: settings().requestTimeoutSeconds * 1000,
      admit: door?.admission(account, kind.endpoint),
      report: (thrown) => reported(thrown, visit),
      onEnd: (attended) => endOf(visit, attended),
      tenure,
    };
    const response = await during(tenure, () => completions.handle(kind, request.body, asker));
    return sendResponse(reply, response, { visit, tenure });
  });
}

const draining = { ready: false, body: { status: "draining" } };

/** 200 where requests are best sent to this server. */
function healthOf({ admission, models, standing }: ServerOptions): { ready: boolean; body: object } {
  if (admission.draining) return draining;
  const health = models.health();
  const { standby } = standing;
  if (!health.ready || standby === undefined) return health;
  return { ready: false, body: { status: "standby", holder: standby.holder ?? null } };
}

/** A receipt's id is the index of its entry. Whoever may see it is told nothing of others' receipts, not even that they are there. */
function addReceipts(app: FastifyInstance, ledger: Ledger, visits: Visits): void {
  app.get<{ Params: { id: string } }>("/v1/receipts/:id", (request) => {
    const { id } = request.params;
    const index = /^(0|[1-9]\d{0,15})$/.test(id) ? Number(id) : -1;
    return ledger.receipt(index, visits.of(request).account.caller?.tenant ?? "");
  });
}

function addAdminRoutes(app: FastifyInstance, administration: Administration): void {
  app.get("/admin/config", () => describeConfiguration(administration));
  app.put("/admin/config", ({ body }) => putConfiguration(body, administration));
  const { revoke } = administration;
  if (revoke !== undefined) app.post("/admin/revocations", ({ body }) => revoke(readRevocations(body)));
}

/** Every request but a look at the health passes the guards; every response carries the request's id. */
function surroundRoutes(app: FastifyInstance, options: ServerOptions, visits: Visits): void {
  // JSON is the only language spoken here; anything else is answered with E_JSON.
  app.removeContentTypeParser("text/plain");
  const door = doorOf(options);
  app.addHook("onRequest", async (request, reply) => {
    const visit = visits.of(request);
    reply.header("x-request-id", request.id);
    const { url } = request.routeOptions;
    if (url === "/health") return;
    reply.raw.once("close", () => {
      if (!visit.account.outlivesConnection) visit.account.end();
      options.metrics.responded(url, reply.raw.statusCode);
      logVisit(visit, request, reply);
    });
    const scope = scopeOf(url);
    await checkCaller(request, scope, { ...options, door, account: visit.account });
    if (scope !== "inference") return;
    visit.account.release = options.admission.visit();
    reply.raw.once("close", visit.account.release);
  });
  app.setErrorHandler((error, request, reply) => sendError(reply, error, visits.of(request)));
  app.setNotFoundHandler((request, reply) => {
    const missing = new ClawError("E_NOT_FOUND", `There is no ${request.method} ${request.url} here.`);
    return sendError(reply, missing, visits.of(request));
  });
}

/** What a key needs for a route; undefined: for a path that there is not. */
function scopeOf(url = ""): KeyScope {
  if (url === "/metrics") return "metrics";
  return url.startsWith("/admin/") ? "admin" : "inference";
}

interface CallerCheck extends Pick<ServerOptions, "keys" | "settings"> {
  readonly door: TokenDoor | undefined;
  readonly account: RequestAccount;
}

/** Notes who calls, where that is allowed. Errors: E_AUTH, E_FORBIDDEN, E_ORIGIN, and those of capability tokens. */
async function checkCaller(
  { headers, socket, routeOptions }: FastifyRequest,
  scope: KeyScope,
  { keys, settings, door, account }: CallerCheck,
): Promise<void> {
  originGuard(headers);
  if (keys.isOpen) hostGuard(headers);
  const { adminRemote, metricsAuthentication } = settings();
  if (scope === "admin" && !adminRemote) checkLocal(socket.remoteAddress);
  if (scope === "metrics" && !metricsAuthentication) return;
  const bearer = bearerOf(headers.authorization);
  if (door?.takes(bearer)) return door.enter(account, bearer, { scope, endpoint: routeOptions.url });
  account.caller = keys.identify(headers.authorization);
  checkScope(account.caller, scope);
}

function doorOf({ capabilities, keys }: ServerOptions): TokenDoor | undefined {
  return capabilities === undefined ? undefined : new TokenDoor(capabilities, keys);
}
