/**
 * Canonical JSON (RFC 8785, JCS): one spelling for each value, so that bytes can be hashed and compared. ECMAScript's own
 * spelling of numbers and strings is the RFC's; what is left to do is the order of names and refusing what I-JSON refuses.
 */

import { ClawError } from "../base/mod.ts";
import { equalBytes, utf8 } from "../crypto/mod.ts";

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Names are sorted by UTF-16 units. Errors: E_ENTRY for numbers that are not finite and lone surrogates. */
export function canonicalJson(value: JsonValue): string {
  if (typeof value === "number" && !Number.isFinite(value)) throw noJson(`the number ${value}`);
  if (typeof value === "string" && !value.isWellFormed()) throw noJson("half a surrogate pair");
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  const members = names.sort().map((name) => `${canonicalJson(name)}:${canonicalJson(value[name] ?? null)}`);
  return `{${members.join(",")}}`;
}

/** The value that canonical bytes spell. Errors: E_ENTRY for any other bytes, duplicate names and -0 among them. */
export function parseCanonicalJson(bytes: Uint8Array): JsonValue {
  let value: JsonValue;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as JsonValue;
  } catch (cause) {
    throw new ClawError("E_ENTRY", "The bytes are not JSON in UTF-8.", { cause });
  }
  if (equalBytes(utf8(canonicalJson(value)), bytes)) return value;
  throw new ClawError("E_ENTRY", "The JSON is not spelled canonically (RFC 8785).");
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function noJson(what: string): ClawError {
  return new ClawError("E_ENTRY", `Canonical JSON has no place for ${what}.`);
}
