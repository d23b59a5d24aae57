/**
 * A forward reader over a file's header. It holds one window of the file, checks every length against the bytes
 * that remain before it reads or allocates, and words the errors.
 */

import { ClawError, type ErrorCode } from "../../base/mod.ts";
import { WINDOW_BYTES } from "./limits.ts";
import type { ByteSource } from "./source.ts";

const WORD = 2 ** 32;
/** Strings up to this length are decoded by hand when they are ASCII: cheaper than a call of the decoder. */
const SHORT_STRING_BYTES = 32;
// Without ignoreBOM a token that is the byte order mark would decode to nothing.
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A limit of this project on a length or count, with the least bytes each counted thing takes. */
export interface Bound {
  readonly max: number;
  readonly bytesEach: number;
}

export class Cursor {
  readonly #source: ByteSource;
  #window: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #windowStart = 0;
  #position = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** The file offset of the next byte. */
  get position(): number {
    return this.#position;
  }

  get size(): number {
    return this.#source.size;
  }

  get remaining(): number {
    return this.size - this.#position;
  }

  /** The error for this file; `message` is a clause, as are the things it names. */
  error(code: ErrorCode, message: string): ClawError {
    return new ClawError(code, `Cannot read ${this.#source.name} as GGUF: ${message}`);
  }

  u32(what: string): number {
    const at = this.#take(4, what);
    return this.#view.getUint32(at, true);
  }

  u64(what: string): number | bigint {
    const at = this.#take(8, what);
    const high = this.#view.getUint32(at + 4, true);
    if (high < 0x20_0000) return high * WORD + this.#view.getUint32(at, true);
    return this.#view.getBigUint64(at, true);
  }

  /** A count of things: at most `max` of them, and all able to lie in the rest of the file. */
  count(what: string, bound: Bound): number {
    const count = this.u64(what);
    if (count > bound.max) {
      throw this.error("E_GGUF_LIMIT", `${what} is ${count}; at most ${bound.max} is accepted.`);
    }
    const needed = Number(count) * bound.bytesEach;
    if (needed > this.remaining) {
      throw this.error("E_GGUF", `${what} is ${count}, but only ${this.remaining} bytes follow.`);
    }
    return Number(count);
  }

  /** A name: length-prefixed, valid UTF-8. */
  name(what: string, bytesMax: number): string {
    const length = this.count(`the length of ${what}`, { max: bytesMax, bytesEach: 1 });
    const at = this.#take(length, what);
    try {
      return strictDecoder.decode(this.#window.subarray(at, at + length));
    } catch {
      throw this.error("E_GGUF", `${what} at byte ${this.#position - length} is not valid UTF-8.`);
    }
  }

  /** A string value: length-prefixed; bytes that are not UTF-8 (tokens may be any) become U+FFFD. */
  text(what: string, bytesMax: number): string {
    const length = this.count(`the length of ${what}`, { max: bytesMax, bytesEach: 1 });
    const at = this.#take(length, what);
    const bytes = this.#window.subarray(at, at + length);
    return shortAscii(bytes) ?? lenientDecoder.decode(bytes);
  }

  /** The next `length` bytes in a buffer of their own. */
  bytes(length: number, what: string): Uint8Array<ArrayBuffer> {
    const at = this.#take(length, what);
    return this.#window.slice(at, at + length);
  }

  /** Moves past `length` bytes and returns where in the window they begin. */
  #take(length: number, what: string): number {
    if (length > this.remaining) {
      throw this.error("E_GGUF", `the file ends at byte ${this.size}, inside ${what}.`);
    }
    if (this.#position + length > this.#windowStart + this.#window.length) this.#refill(length);
    const at = this.#position - this.#windowStart;
    this.#position += length;
    return at;
  }

  #refill(length: number): void {
    const size = Math.min(Math.max(length, WINDOW_BYTES), this.remaining);
    this.#window = this.#source.read(this.#position, size);
    this.#view = new DataView(this.#window.buffer, this.#window.byteOffset, this.#window.length);
    this.#windowStart = this.#position;
  }
}

function shortAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > SHORT_STRING_BYTES) return undefined;
  let text = "";
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}
