/** Answers to questions over a link: one message each, whose first byte says whether it is what was asked for, or why it is not. */

import { z } from "zod";
import { asClawError, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import { fromUtf8, utf8 } from "../../crypto/mod.ts";

/** Letters of a refusal, and the bytes that it takes with them at most. */
const REFUSAL_CHARS_MAX = 1000;
export const REFUSAL_BYTES_MAX = 8192;

const DONE = 0;
const REFUSED = 1;

/** Room for an answer of so many bytes: `answerOf` says where they go. */
export function answerRoom(bytes: number): Uint8Array {
  return new Uint8Array(1 + bytes);
}

export function answerOf(room: Uint8Array): Uint8Array {
  return room.subarray(1);
}

/** An answer that is a document. */
export function jsonAnswer(document: unknown): Uint8Array {
  const bytes = utf8(JSON.stringify(document));
  const room = answerRoom(bytes.length);
  answerOf(room).set(bytes);
  return room;
}

export function refusal(error: unknown): Uint8Array {
  const { code, message } = asClawError(error);
  const room = jsonAnswer({ code, message: message.slice(0, REFUSAL_CHARS_MAX) });
  room[0] = REFUSED;
  return room;
}

const refusalShape = z.strictObject({ code: z.string(), message: z.string().max(REFUSAL_BYTES_MAX) });

/** What was asked for. What the peer says is against it; E_LINK_PEER. */
export function readAnswer(message: Uint8Array): Uint8Array {
  if (message[0] === DONE) return answerOf(message);
  const told = message[0] === REFUSED ? refusalShape.safeParse(jsonOf(answerOf(message))) : undefined;
  if (told?.success !== true) throw new ClawError("E_LINK_PEER", "It answered with no answer.");
  const { code, message: why } = told.data;
  throw new ClawError(Object.hasOwn(errorTable, code) ? (code as ErrorCode) : "E_LINK_PEER", why);
}

/** Undefined where it is none. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes));
  } catch {
    return undefined;
  }
}
