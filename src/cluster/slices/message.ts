/**
 * What goes over a link on which parts of a model file are handed out: each request is a message of JSON, each answer one
 * message (`src/cluster/link/answer.ts`).
 */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";
import { utf8 } from "../../crypto/mod.ts";
import type { ModelSeal } from "../../model/mod.ts";
import { jsonOf } from "../link/mod.ts";
import { type Extent, extentShape } from "./extent.ts";
import { FILE_BYTES_MAX, HASHES_ASKED_MAX, HEADER_BYTES_MAX } from "./limits.ts";

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

/** E_LINK_PEER where it is none. */
export function readSliceRequest(bytes: Uint8Array): SliceRequest {
  const parsed = requestShape.safeParse(jsonOf(bytes));
  if (parsed.success) return parsed.data;
  throw new ClawError("E_LINK_PEER", "A peer asked for what is no part of a model file.");
}

export function sliceRequestBytes(request: SliceRequest): Uint8Array {
  return utf8(JSON.stringify(request));
}
