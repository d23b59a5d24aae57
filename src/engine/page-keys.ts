/** Names of KV pages: a hash over all that a page's content follows from. */

import { createHash } from "node:crypto";

/** The name of the page before the first one: of what pages of this kind and scope depend on beside the tokens. */
export function rootKey(kind: string, scope: string): string {
  return createHash("sha256")
    .update(JSON.stringify([kind, scope]))
    .digest("base64");
}

/** The name of the page of tokens [from, end) that follows the page named `before`. */
export function pageKey(
  before: string,
  tokens: Int32Array,
  ...[from, end]: readonly [number, number]
): string {
  const { buffer, byteOffset } = tokens.subarray(from, end);
  const bytes = new Uint8Array(buffer, byteOffset, (end - from) * Int32Array.BYTES_PER_ELEMENT);
  return createHash("sha256").update(before).update(bytes).digest("base64");
}
