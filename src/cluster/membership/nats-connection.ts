/** I/O: a connection to NATS, which is made again whenever it is lost. */

import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
} from "@nats-io/transport-node";
import { ClawError } from "../../base/mod.ts";
import { RECONNECT_MS, REQUEST_MS } from "./limits.ts";

export interface NatsAccess {
  /** `host:port`. */
  readonly servers: readonly string[];
  /** A credentials file's text, `name:password`, or a token. */
  readonly credentials?: string | undefined;
  /** Texts in PEM; where it is there, a server without TLS is refused. */
  readonly tls?:
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
      }
    | undefined;
}

/** Errors: those of NATS. */
export function connectNats({ servers, credentials, tls }: NatsAccess): Promise<NatsConnection> {
  return connect({
    servers: [...servers],
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    timeout: REQUEST_MS,
    ...(credentials !== undefined && authentication(credentials)),
    ...(tls !== undefined && { tls: { ...tls } as NonNullable<ConnectionOptions["tls"]> }),
  });
}

function authentication(credentials: string): Partial<ConnectionOptions> {
  if (credentials.includes("BEGIN NATS USER JWT")) {
    return { authenticator: credsAuthenticator(new TextEncoder().encode(credentials)) };
  }
  const colon = credentials.indexOf(":");
  if (colon === -1) return { token: credentials };
  return { user: credentials.slice(0, colon), pass: credentials.slice(colon + 1) };
}

export function controlError(attempted: string, error: unknown): ClawError {
  const reason = error instanceof Error ? error.message : String(error);
  return new ClawError("E_CONTROL", `The control plane did not ${attempted}: ${reason}.`, { cause: error });
}
