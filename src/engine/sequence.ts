/** One running request: its tokens, how many of them are in the KV cache, and its pages. */

import { assert, at } from "../base/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import type { PagePool } from "./pages.ts";
import type { GenerationRequest } from "./request.ts";

export class Sequence {
  readonly id: number;
  readonly request: GenerationRequest;
  /** Prompt and answer. */
  readonly tokens: Int32Array;
  readonly pages: number[] = [];
  #length: number;
  /** Tokens whose keys and values are in the cache. */
  #cached = 0;

  constructor(id: number, request: GenerationRequest) {
    assert(
      request.prompt.length > 0 && request.maxTokens > 0,
      "A sequence has a prompt and room for an answer.",
    );
    this.id = id;
    this.request = request;
    this.tokens = new Int32Array(request.prompt.length + request.maxTokens);
    this.tokens.set(request.prompt);
    this.#length = request.prompt.length;
  }

  get length(): number {
    return this.#length;
  }

  get cached(): number {
    return this.#cached;
  }

  get promptLength(): number {
    return this.request.prompt.length;
  }

  get generated(): number {
    return this.#length - this.promptLength;
  }

  /** Tokens still to be fed before the next one can be drawn; 1 while decoding. */
  get pending(): number {
    return this.#length - this.#cached;
  }

  /** Pages the whole request may come to need: the last token drawn is never fed. */
  get pagesNeeded(): number {
    return Math.ceil((this.tokens.length - 1) / KV_PAGE_TOKENS);
  }

  /** Makes sure that the next `count` tokens have pages. */
  grow(count: number, pool: PagePool): void {
    while (this.pages.length * KV_PAGE_TOKENS < this.#cached + count) this.pages.push(pool.take());
  }

  /** Notes that the next `count` tokens are in the cache now. */
  advance(count: number): void {
    this.#cached += count;
    assert(this.#cached <= this.#length, "More tokens were cached than the sequence has.");
  }

  append(token: number): void {
    assert(this.#length < this.tokens.length, "The answer is longer than the request allows.");
    this.tokens[this.#length++] = token;
  }

  /** The last token. */
  get last(): number {
    return at(this.tokens, this.#length - 1);
  }

  release(pool: PagePool): void {
    pool.release(this.pages, this.pagesNeeded - this.pages.length);
    this.pages.length = 0;
  }
}
