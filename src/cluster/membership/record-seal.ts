/**
 * What proves that a record was written by a member: whoever reaches the control plane can write there, but only members have
 * the cluster's secret. After a record's text comes a line with HMAC-SHA256 over its key and its text.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { concat, toHex, utf8 } from "../../crypto/mod.ts";

const PURPOSE = "openclaw control 1";
const LINE_FEED = 0x0a;
/** A line feed and a digest in hexadecimal. */
const TAIL_BYTES = 65;

export class RecordSeal {
  readonly #key: Uint8Array | undefined;

  /** Undefined: records are neither sealed nor checked, as in a single process. */
  constructor(secret: Uint8Array | undefined) {
    this.#key = secret && createHmac("sha256", secret).update(PURPOSE).digest();
  }

  seal(key: string, text: Uint8Array): Uint8Array {
    if (this.#key === undefined) return text;
    return concat(text, Uint8Array.of(LINE_FEED), utf8(digest(this.#key, key, text)));
  }

  /** The text; undefined where no member wrote it under this key. */
  open(key: string, sealed: Uint8Array): Uint8Array | undefined {
    if (this.#key === undefined) return sealed;
    const end = sealed.length - TAIL_BYTES;
    if (end < 0 || sealed[end] !== LINE_FEED) return undefined;
    const text = sealed.subarray(0, end);
    const expected = utf8(digest(this.#key, key, text));
    return timingSafeEqual(expected, sealed.subarray(end + 1)) ? text : undefined;
  }
}

function digest(secret: Uint8Array, key: string, text: Uint8Array): string {
  return toHex(createHmac("sha256", secret).update(utf8(key)).update(Uint8Array.of(0)).update(text).digest());
}
