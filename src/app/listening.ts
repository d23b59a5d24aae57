/** I/O: a server's socket: opened, and closed with time for those who are being answered. */

import { setTimeout as delay } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { ClawError } from "../base/mod.ts";
import type { ServeOptions } from "../config/mod.ts";

const POLL_MS = 20;

/** Starts to listen; the server's URL. Errors: E_PORT_IN_USE, E_HOST. */
export async function listen(
  http: FastifyInstance,
  { host, port }: Pick<ServeOptions, "host" | "port">,
): Promise<string> {
  try {
    return await http.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EADDRINUSE") {
      throw new ClawError("E_PORT_IN_USE", `Port ${port} on ${host} is taken.`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_HOST", `Cannot listen on ${host}, port ${port}: ${reason}.`, { cause: error });
  }
}

/** Waits until a closing server has no connections, but not for longer than `waitMs`. */
export async function drained(http: FastifyInstance, waitMs: number): Promise<void> {
  const connections = (): Promise<number> =>
    new Promise((resolve) => http.server.getConnections((_, count) => resolve(count)));
  for (let waited = 0; waited < waitMs; waited += POLL_MS) {
    // Connections kept alive for another request would keep the server, too.
    http.server.closeIdleConnections();
    if ((await connections()) === 0) return;
    await delay(POLL_MS);
  }
}
