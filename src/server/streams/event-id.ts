/**
 * The ids of a stream's events. An event's id says which events a client has when it has this one: the stream's id, and how many
 * events of each of its answers, since answers do not wait for each other and another server may send them in another order.
 */

import { ClawError } from "../../base/mod.ts";

export interface EventId {
  readonly stream: string;
  /** Events of each answer, up to the one with this id. */
  readonly counts: readonly number[];
}

/** `chatcmpl-…:17`, or with several answers `chatcmpl-…:17.16.18`. */
export function formatEventId(stream: string, counts: readonly number[]): string {
  return `${stream}:${counts.join(".")}`;
}

/** A count has at most nine digits: more tokens than any context. */
const pattern = /^((?:chatcmpl|cmpl)-[0-9A-Za-z]{1,64}):(\d{1,9}(?:\.\d{1,9}){0,127})$/;

/** Reads what a client sent. Errors: E_PARAMETER. */
export function parseEventId(text: string): EventId {
  const [, stream, counts] = pattern.exec(text) ?? [];
  if (stream !== undefined && counts !== undefined) {
    return { stream, counts: counts.split(".").map(Number) };
  }
  const shown = JSON.stringify(text.slice(0, 100));
  throw wrongEventId(`is ${shown}; the id of an event, as the stream gave it, was expected`);
}

export function wrongEventId(problem: string): ClawError {
  return new ClawError("E_PARAMETER", `The header Last-Event-ID ${problem}.`, { param: "Last-Event-ID" });
}
