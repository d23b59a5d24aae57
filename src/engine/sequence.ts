/** One request: its tokens, how many of them are in the KV cache, its pages, and when what happened to it. */

import { assert, at } from "../base/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import type { PrefixNode } from "./prefix-cache.ts";
import type { GenerationRequest } from "./request.ts";
import type { RequestRecord } from "./step-record.ts";

/** Pages that hold so many tokens. */
export function pagesFor(tokens: number): number {
  return Math.ceil(tokens / KV_PAGE_TOKENS);
}

export class Sequence implements RequestRecord {
  readonly id: number;
  readonly request: GenerationRequest;
  readonly tenant: string;
  readonly priority: number;
  /** What its pages' contents depend on beside the tokens, and who may see them. */
  readonly scope: string;
  /** Its place among the program's, counted from 1; 0: none. */
  adapter: number;
  /** When it ends with E_DEADLINE; infinite where it never does. */
  readonly deadlineAt: number;
  /** Prompt and answer. */
  readonly tokens: Int32Array;
  /** Its pages; the first `pageCount` entries are in use. */
  readonly pages: Int32Array;
  /** Where in the prefix cache's tree its shared pages end. */
  node: PrefixNode | undefined;
  /** Places of its pages in the swap space, while they are there. */
  swapped: Int32Array | undefined;
  #length: number;
  #cached = 0;
  #pageCount = 0;
  #shared = 0;

  readonly queuedAt: number;
  admittedAt: number | undefined;
  firstTokenAt: number | undefined;
  previousTokenAt: number | undefined;
  lastTokenAt: number | undefined;
  prefixHitTokens = 0;
  preemptions = 0;
  /** Whether a step is under way that it is in: it is planned again when that has ended. */
  stepping = false;
  /** Steps in a row that failed with it in them. */
  failedSteps = 0;

  constructor(
    id: number,
    request: GenerationRequest,
    { scope, adapter = 0, now }: { readonly scope: string; readonly adapter?: number; readonly now: number },
  ) {
    const { prompt, maxTokens, drawn } = request;
    assert(prompt.length > 0 && maxTokens > 0, "A sequence has a prompt and room for an answer.");
    this.id = id;
    this.request = request;
    this.tenant = request.tenant ?? "";
    this.priority = request.priority ?? 0;
    this.scope = scope;
    this.adapter = adapter;
    this.queuedAt = now;
    this.deadlineAt = now + (request.deadlineMs ?? Number.POSITIVE_INFINITY);
    this.tokens = new Int32Array(prompt.length + maxTokens);
    this.tokens.set(prompt);
    if (drawn !== undefined) this.tokens.set(drawn, prompt.length);
    this.#length = prompt.length + (drawn?.length ?? 0);
    this.pages = new Int32Array(pagesFor(this.tokens.length));
  }

  get length(): number {
    return this.#length;
  }

  /** Tokens whose keys and values are in the cache (or in the swap space). */
  get cached(): number {
    return this.#cached;
  }

  get pageCount(): number {
    return this.#pageCount;
  }

  /** Its first pages, which the prefix cache's tree holds too: full, and never written again. */
  get shared(): number {
    return this.#shared;
  }

  get promptLength(): number {
    return this.request.prompt.length;
  }

  get promptTokens(): number {
    return this.promptLength;
  }

  get generatedTokens(): number {
    return this.#length - this.promptLength;
  }

  /** Tokens still to be fed before the next one can be drawn; 1 while decoding. */
  get pending(): number {
    return this.#length - this.#cached;
  }

  /** Pages the whole request may come to need: the last token drawn is never fed. */
  get pagesNeeded(): number {
    return pagesFor(this.tokens.length - 1);
  }

  /** The last token. */
  get last(): number {
    return at(this.tokens, this.#length - 1);
  }

  addPage(page: number): void {
    this.pages[this.#pageCount++] = page;
  }

  /** Its next page is the tree's. */
  share(node: PrefixNode, page: number): void {
    this.pages[this.#shared++] = page;
    this.#pageCount = Math.max(this.#pageCount, this.#shared);
    this.node = node;
  }

  /** Notes that the next `count` tokens are in the cache now. */
  advance(count: number): void {
    this.#cached += count;
    this.failedSteps = 0;
    assert(this.#cached <= this.#length, "More tokens were cached than the sequence has.");
  }

  /** Notes that it has no pages any more. */
  drop(): void {
    this.#cached = 0;
    this.#pageCount = 0;
    this.#shared = 0;
    this.node = undefined;
  }

  append(token: number, now: number): void {
    assert(this.#length < this.tokens.length, "The answer is longer than the request allows.");
    this.tokens[this.#length++] = token;
    this.previousTokenAt = this.lastTokenAt;
    this.lastTokenAt = now;
    this.firstTokenAt ??= now;
  }
}
