/** What is known of one key, and the one request about it that may be under way. */

import { assert } from "../../base/mod.ts";
import type { Entry, Write } from "./store.ts";

/** What a member asks of the control plane. */
export type Request =
  | { readonly kind: "write"; readonly write: Write; readonly sentAt: number }
  | { readonly kind: "read"; readonly key: string; readonly sentAt: number };

/** What came of it: `lost` where nobody knows. */
export type Answer =
  | { readonly kind: "done"; readonly revision: number }
  | { readonly kind: "conflict" }
  | { readonly kind: "entry"; readonly entry: Entry | undefined }
  | { readonly kind: "lost" };

export class Register {
  readonly key: string;
  /** Of the newest change that was seen, deletions included. */
  #newest = 0;
  /** What the next write overwrites; 0: the key is not there. */
  #expected = 0;
  #pending: Request | undefined;
  #stale = true;

  constructor(key: string) {
    this.key = key;
  }

  get revision(): number {
    return this.#newest;
  }

  /** Whether the key is not there, as far as is known. */
  get absent(): boolean {
    return this.#expected === 0;
  }

  get busy(): boolean {
    return this.#pending !== undefined;
  }

  /** Whether what is known may be old: then it is read before it is written. */
  get stale(): boolean {
    return this.#stale;
  }

  read(now: number): Request {
    return this.#begin({ kind: "read", key: this.key, sentAt: now });
  }

  write(now: number, value: Uint8Array | undefined): Request {
    const { key } = this;
    return this.#begin({ kind: "write", write: { key, value, expected: this.#expected }, sentAt: now });
  }

  /** Takes notice of an entry; whether it is newer than what is known. */
  saw({ value, revision }: Entry): boolean {
    if (!(revision > this.#newest)) return false;
    this.#newest = revision;
    this.#expected = value === undefined ? 0 : revision;
    return true;
  }

  /** Ends the request under way; false where it was given up before. */
  ended(request: Request, answer: Answer): boolean {
    if (request !== this.#pending) return false;
    this.#pending = undefined;
    this.#stale = answer.kind === "lost" || answer.kind === "conflict";
    if (answer.kind === "entry" && answer.entry === undefined) this.#expected = 0;
    return true;
  }

  #begin(request: Request): Request {
    assert(this.#pending === undefined, `Two requests about ${this.key} at once.`);
    this.#pending = request;
    return request;
  }
}
