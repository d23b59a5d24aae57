/**
 * What goes over a link on which a server says what pages lie in its folder: each question a message of JSON, each answer one message
 * (`src/cluster/link/answer.ts`).
 */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";
import { utf8 } from "../../crypto/mod.ts";
import { PAGE_FILE_NAME } from "../../engine/mod.ts";
import { jsonOf } from "../link/mod.ts";
import { CHANGES_MAX, PAGE_FILE_BYTES_MAX, PART_BYTES_MAX } from "./limits.ts";

export type PagesRequest =
  /** Which folder it is: the digits of its `folderId`. */
  | { readonly ask: "folder" }
  /** `Changes` after a number that an answer said; 0: all that is there. */
  | { readonly ask: "changes"; readonly after: number }
  /** So many bytes of a file, from a place on. */
  | { readonly ask: "bytes"; readonly name: string; readonly from: number; readonly length: number };

/** A file's name and its bytes; 0: it is gone. */
export type Change = readonly [name: string, bytes: number];

export interface Changes {
  /** In the order in which they happened. */
  readonly changes: readonly Change[];
  /** Of the last of them. */
  readonly number: number;
  /** There are more. */
  readonly more: boolean;
}

const counter = z.int().nonnegative();
const name = z.string().regex(PAGE_FILE_NAME);
const bytes = counter.max(PAGE_FILE_BYTES_MAX);

const requestShape: z.ZodType<PagesRequest> = z.discriminatedUnion("ask", [
  z.strictObject({ ask: z.literal("folder") }),
  z.strictObject({ ask: z.literal("changes"), after: counter }),
  z.strictObject({ ask: z.literal("bytes"), name, from: bytes, length: z.int().min(1).max(PART_BYTES_MAX) }),
]);

const changesShape: z.ZodType<Changes> = z.strictObject({
  changes: z.array(z.tuple([name, bytes])).max(CHANGES_MAX),
  number: counter,
  more: z.boolean(),
});

export function pagesRequestBytes(request: PagesRequest): Uint8Array {
  return utf8(JSON.stringify(request));
}

/** E_LINK_PEER where it is none. */
export function readPagesRequest(message: Uint8Array): PagesRequest {
  const parsed = requestShape.safeParse(jsonOf(message));
  if (parsed.success) return parsed.data;
  throw new ClawError("E_LINK_PEER", "A peer asked for what is no page of a folder.");
}

/** E_LINK_PEER. */
export function readChanges(answer: Uint8Array): Changes {
  const parsed = changesShape.safeParse(jsonOf(answer));
  if (parsed.success) return parsed.data;
  throw new ClawError("E_LINK_PEER", "It answered with what are no changes of a folder.");
}
