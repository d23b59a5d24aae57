/** Who may call: the API key, and defences for the browser of someone who can reach this server. */

import { createHash, timingSafeEqual } from "node:crypto";
import { ClawError } from "../base/mod.ts";
import { isLoopback } from "../config/mod.ts";

interface Headers {
  readonly authorization?: string | undefined;
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

export type Guard = (headers: Headers) => void;

/** Wants `Authorization: Bearer KEY`. Digests of one length are compared in constant time. Errors: E_AUTH. */
export function keyGuard(key: string): Guard {
  const expected = digest(key);
  return ({ authorization }) => {
    const given = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) throw new ClawError("E_AUTH", "The request has no API key.");
    if (!timingSafeEqual(digest(given), expected)) throw new ClawError("E_AUTH", "The API key is wrong.");
  };
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

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
