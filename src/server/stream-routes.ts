/** Streams that their clients come back to: `/v1/streams/ID`, and `Last-Event-ID` where the stream was asked for. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ClawError } from "../base/mod.ts";
import { sendStream } from "./replies.ts";
import { findStream, type LastEvent, resumeStream } from "./resumption.ts";
import type { KeptStreams, Standing } from "./streams/mod.ts";
import { parseEventId, wrongEventId } from "./streams/mod.ts";
import type { TokenDoor } from "./token-door.ts";
import type { Visit, Visits } from "./visits.ts";

export interface StreamRoutes {
  readonly streams: KeptStreams;
  readonly standing: Standing;
  readonly door: TokenDoor | undefined;
  readonly visits: Visits;
}

interface ReadingRoutes extends Omit<StreamRoutes, "visits"> {
  readonly visit: Visit;
}

export function addStreams(app: FastifyInstance, routes: StreamRoutes): void {
  const path = "/v1/streams/:id";
  app.get<{ Params: { id: string } }>(path, { exposeHeadRoute: false }, async (request, reply) => {
    const { id } = request.params;
    const last = lastEventOf(request);
    if (last !== undefined && last.stream !== id) throw wrongEventId("is of another stream");
    return resume(
      reply,
      { stream: id, counts: last?.counts },
      { ...routes, visit: routes.visits.of(request) },
    );
  });
  app.delete<{ Params: { id: string } }>(path, async (request, reply) => {
    const { account } = routes.visits.of(request);
    const { stream } = await findStream(request.params.id, { ...routes, account });
    routes.streams.end(stream, new ClawError("E_CANCELLED", "The client ended the stream."));
    return reply.code(204).send();
  });
}

/** The last event that a client had before it lost its connection. Errors: E_PARAMETER. */
export function lastEventOf({ headers }: Pick<FastifyRequest, "headers">): LastEvent | undefined {
  const given = headers["last-event-id"];
  if (given === undefined) return undefined;
  return parseEventId(Array.isArray(given) ? given.join() : given);
}

/** Sends what follows; 204 where nothing does. Errors: those of `resumeStream`. */
export async function resume(
  reply: FastifyReply,
  last: LastEvent,
  { visit, ...rest }: ReadingRoutes,
): Promise<FastifyReply> {
  const resumed = await resumeStream(last, { ...rest, account: visit.account });
  if (resumed === undefined) return reply.code(204).send();
  return sendStream(reply, resumed.stream, { ...resumed, visit });
}
