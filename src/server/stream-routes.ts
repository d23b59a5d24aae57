/** Streams that their clients come back to: `/v1/streams/ID`, and `Last-Event-ID` where the stream was asked for. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ClawError } from "../base/mod.ts";
import { ownerOf } from "./completions.ts";
import { sendStream } from "./replies.ts";
import type { Standing, Tenure } from "./streams/mod.ts";
import { type KeptStream, type KeptStreams, parseEventId, wrongEventId } from "./streams/mod.ts";
import type { TokenDoor } from "./token-door.ts";
import type { Visit, Visits } from "./visits.ts";

export interface StreamRoutes {
  readonly streams: KeptStreams;
  readonly standing: Standing;
  readonly door: TokenDoor | undefined;
  readonly visits: Visits;
}

interface Resumption extends Omit<StreamRoutes, "visits"> {
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
    const { stream } = await find(request.params.id, { ...routes, visit: routes.visits.of(request) });
    routes.streams.end(stream, new ClawError("E_CANCELLED", "The client ended the stream."));
    return reply.code(204).send();
  });
}

interface LastEvent {
  readonly stream: string;
  /** Undefined: the client has nothing yet. */
  readonly counts: readonly number[] | undefined;
}

/** The last event that a client had before it lost its connection. Errors: E_PARAMETER. */
export function lastEventOf({ headers }: Pick<FastifyRequest, "headers">): LastEvent | undefined {
  const given = headers["last-event-id"];
  if (given === undefined) return undefined;
  return parseEventId(Array.isArray(given) ? given.join() : given);
}

/** Sends what follows; 204 where nothing does. Errors: E_STREAM, E_PARAMETER, E_STANDBY, and those of capability tokens. */
export async function resume(
  reply: FastifyReply,
  { stream: id, counts }: LastEvent,
  resumption: Resumption,
): Promise<FastifyReply> {
  const { stream, tenure } = await find(id, resumption);
  const known = counts ?? stream.log.counts.map(() => 0);
  if (!stream.follows(known)) return reply.code(204).send();
  resumption.streams.resumed();
  return sendStream(reply, stream, { counts: known, tenure, visit: resumption.visit });
}

/** The caller's stream of that id, where it may still have what it asked for. */
async function find(
  id: string,
  { streams, standing, door, visit }: Resumption,
): Promise<{ readonly stream: KeptStream; readonly tenure: Tenure }> {
  const { account } = visit;
  const tenure = await standing.tenure();
  const stream = streams.find(id, ownerOf(account));
  account.stream = stream.id;
  await door?.readmit(account, stream);
  return { stream, tenure };
}
