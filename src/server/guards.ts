/** Who may call beside having a key: defences for the browser of someone who can reach this server. */

import { ClawError } from "../base/mod.ts";
import { isLoopback, type KeyScope } from "../config/mod.ts";
import type { Caller } from "./keys.ts";

interface Headers {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

export type Guard = (headers: Headers) => void;

/** Refuses a key that does not open what is called. Errors: E_FORBIDDEN. */
export function checkScope({ scopes, tenant }: Caller, scope: KeyScope): void {
  if (scopes.includes(scope)) return;
  throw new ClawError("E_FORBIDDEN", `The API key of ${tenant} does not have the scope ${scope}.`);
}

/** Refuses other machines. `address`: the peer's. Errors: E_FORBIDDEN. */
export function checkLocal(address: string | undefined): void {
  if (address !== undefined && isLoopback(address.replace(/^::ffff:/, ""))) return;
  throw new ClawError("E_FORBIDDEN", "Only this machine may call /admin.");
}

/** Refuses requests that a browser sends for a page of another origin. Errors: E_ORIGIN. */
export const originGuard: Guard = ({ host, origin }) => {
  if (origin === undefined || origin.replace(/^https?:\/\//, "") === host) return;
  throw new ClawError("E_ORIGIN", `A page of ${origin} may not call this server.`);
};

/**
 * Where no key protects it: refuses names that lead here but are not this machine's own, so that a page elsewhere
 * cannot reach the server under its own name (DNS rebinding). Errors: E_ORIGIN.
 */
export const hostGuard: Guard = ({ host = "" }) => {
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (isLoopback(name)) return;
  throw new ClawError(
    "E_ORIGIN",
    `The server was called as ${JSON.stringify(host)}, not by a loopback name.`,
  );
};
