/** The witness over HTTP (C2SP tlog-witness): `POST /add-checkpoint`, nothing else. */

import fastify, { type FastifyInstance } from "fastify";
import { asClawError } from "../base/mod.ts";
import { fromUtf8 } from "../crypto/mod.ts";
import { WITNESS_BODY_BYTES_MAX, WITNESS_CONNECTIONS_MAX, WITNESS_REQUEST_MS } from "./limits.ts";
import type { Witness } from "./witness.ts";

const TEXT = "text/plain; charset=utf-8";

/** A server that is not listening yet. */
export function createWitnessServer(witness: Witness): FastifyInstance {
  const app: FastifyInstance = fastify({
    bodyLimit: WITNESS_BODY_BYTES_MAX,
    requestTimeout: WITNESS_REQUEST_MS,
    forceCloseConnections: true,
  });
  app.server.maxConnections = WITNESS_CONNECTIONS_MAX;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
  app.post("/add-checkpoint", async ({ body }, reply) => {
    const request = textOf(body);
    if (request === undefined) return reply.code(400).type(TEXT).send("The request is not UTF-8.\n");
    const answer = await witness.addCheckpoint(request);
    return reply.code(answer.status).type(answer.contentType).send(answer.body);
  });
  app.setNotFoundHandler((_, reply) =>
    reply.code(404).type(TEXT).send("POST /add-checkpoint is all there is.\n"),
  );
  app.setErrorHandler((error, _, reply) => {
    const status = (error as { readonly statusCode?: number }).statusCode ?? asClawError(error).status;
    const said = status < 500 ? "The request cannot be read." : "The witness cannot keep its state.";
    return reply.code(status).type(TEXT).send(`${said}\n`);
  });
  return app;
}

function textOf(body: unknown): string | undefined {
  try {
    return body instanceof Uint8Array ? fromUtf8(body) : "";
  } catch {
    return undefined;
  }
}
