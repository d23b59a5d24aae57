/**
 * What goes over a link on which parts of a model file are handed out: each request is a message of JSON, each answer one message,
 * whose first byte says whether it is what was asked for, or why it is not.
 */

import { z } from "zod";
import { asClawError, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import { fromUtf8, utf8 } from "../../crypto/mod.ts";
import type { Link } from "../../kernels/mod.ts";
import type { ModelSeal } from "../../model/mod.ts";
import { type Extent, extentShape } from "./extent.ts";
import { ASK_BYTES_MAX, FILE_BYTES_MAX, HASHES_ASKED_MAX, HEADER_BYTES_MAX } from "./limits.ts";

export type SliceRequest =
  /** The model's seal, as a `SealAnswer`. */
  | { readonly ask: "seal" }
  /** The bytes of an extent. */
  | { readonly ask: "bytes"; readonly of: Extent }
  /** SHA-256 of a byte 0 and the bytes of each extent, one after another. */
  | { readonly ask: "hashes"; readonly of: readonly Extent[] };

const requestShape: z.ZodType<SliceRequest> = z.discriminatedUnion("ask", [
  z.strictObject({ ask: z.literal("seal") }),
  z.strictObject({ ask: z.literal("bytes"), of: extentShape }),
  z.strictObject({ ask: z.literal("hashes"), of: z.array(extentShape).min(1).max(HASHES_ASKED_MAX) }),
]);

/** Nothing of it is believed before it was hashed. */
export interface SealAnswer {
  readonly seal: ModelSeal;
  readonly fileBytes: number;
  readonly headerBytes: number;
}

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const sealShape = z.strictObject({
  fileBytes: z.int().positive().max(FILE_BYTES_MAX),
  headerBytes: z.int().positive().max(HEADER_BYTES_MAX),
  seal: z.strictObject({
    root: digest,
    topology: z.strictObject({
      version: z.literal(1),
      ...{ architecture: digest, tokenizer: digest, chat_template: digest },
      ...{ quantization: digest, header: digest, padding: digest },
    }),
    tensors: z.record(z.string(), digest),
  }),
});

export function readSealAnswer(bytes: Uint8Array): SealAnswer {
  const parsed = sealShape.safeParse(jsonOf(bytes));
  if (!parsed.success) throw new ClawError("E_LINK_PEER", "It answered with what is no seal.");
  return parsed.data;
}

/** The next request on a link. E_LINK where it ended, E_LINK_PEER where it is none. */
export async function receiveSliceRequest(link: Link): Promise<SliceRequest> {
  const into = new Uint8Array(ASK_BYTES_MAX);
  const bytes = await link.queueReceive(into);
  const parsed = requestShape.safeParse(jsonOf(into.subarray(0, bytes)));
  if (parsed.success) return parsed.data;
  throw new ClawError("E_LINK_PEER", "A peer asked for what is no part of a model file.");
}

export function sliceRequestBytes(request: SliceRequest): Uint8Array {
  return utf8(JSON.stringify(request));
}

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

export function refusal(error: unknown): Uint8Array {
  const { code, message } = asClawError(error);
  const bytes = utf8(JSON.stringify({ code, message: message.slice(0, REFUSAL_CHARS_MAX) }));
  const room = answerRoom(bytes.length);
  room[0] = REFUSED;
  answerOf(room).set(bytes);
  return room;
}

const refusalShape = z.strictObject({ code: z.string(), message: z.string().max(ASK_BYTES_MAX) });

/** What was asked for. What the peer says is against it; E_LINK_PEER. */
export function readAnswer(message: Uint8Array): Uint8Array {
  if (message[0] === DONE) return answerOf(message);
  const told = message[0] === REFUSED ? refusalShape.safeParse(jsonOf(answerOf(message))) : undefined;
  if (told?.success !== true) throw new ClawError("E_LINK_PEER", "It answered with no answer.");
  const { code, message: why } = told.data;
  throw new ClawError(Object.hasOwn(errorTable, code) ? (code as ErrorCode) : "E_LINK_PEER", why);
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes));
  } catch {
    return undefined;
  }
}
