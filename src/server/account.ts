/** What is known of one request, for its line in the log and the server's counters. */

import type { Lease } from "../capability/mod.ts";
import type { FinishReason } from "../engine/mod.ts";
import type { Caller } from "./keys.ts";

/** Whoever counts what requests come to. */
export interface AccountListener {
  prompted(tokens: number): void;
  generated(tokens: number): void;
  finished(reason: FinishReason | "abort" | "error", answers?: number): void;
}

export class RequestAccount {
  readonly #clock: () => number;
  readonly #listener: AccountListener;
  /** On the clock, in milliseconds. */
  readonly #startedAt: number;
  #firstTokenAt: number | undefined;
  readonly #finished: Record<string, number> = {};
  caller: Caller | undefined;
  model: string | undefined;
  /** Those of the capability token that it came with, the first block's first. */
  revocationIds: readonly string[] = [];
  /** The id of its stream, where that can be read again. */
  stream: string | undefined;
  /** Whether its answers go on when its connection has ended. */
  outlivesConnection = false;
  /** Has a server that stops no longer wait for its connection. */
  release: () => void = () => {};
  #lease: Lease | undefined;
  #over = false;
  promptTokens = 0;
  /** Answers that it asks for, and how many of them ended by themselves. */
  answers = 0;
  #ended = 0;
  /** Tokens drawn for all its answers. */
  completionTokens = 0;
  /** The code of what it failed with. */
  error: string | undefined;

  constructor(clock: () => number, listener: AccountListener) {
    this.#clock = clock;
    this.#listener = listener;
    this.#startedAt = clock();
  }

  /** What its capability token allows while it is answered. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  set lease(lease: Lease | undefined) {
    this.#lease = lease;
    if (this.#over) lease?.release();
  }

  /** Notes what was added to an answer. */
  piece({ drawn, finish }: { readonly drawn: number; readonly finish: FinishReason | null }): void {
    if (drawn > 0 && this.#firstTokenAt === undefined) {
      this.#firstTokenAt = this.#clock();
      this.#listener.prompted(this.promptTokens);
    }
    this.completionTokens += drawn;
    this.#listener.generated(drawn);
    if (finish === null) return;
    this.#ended++;
    this.#finished[finish] = (this.#finished[finish] ?? 0) + 1;
    this.#listener.finished(finish);
  }

  /** Nothing more comes. */
  end(): void {
    this.#over = true;
    this.#lease?.release();
    const open = this.answers - this.#ended;
    if (open > 0) this.#listener.finished(this.error === undefined ? "abort" : "error", open);
  }

  /** What a line of the log says; times are in milliseconds. */
  summary(): object {
    const since = (at: number): number => Math.round((at - this.#startedAt) * 1000) / 1000;
    const { caller, model, promptTokens, completionTokens, error, revocationIds, stream } = this;
    return {
      tenant: caller?.tenant,
      ...(stream === undefined ? {} : { stream }),
      ...(revocationIds.length === 0 ? {} : { revocation_ids: revocationIds }),
      model,
      ...(model === undefined
        ? {}
        : {
            prompt_tokens: promptTokens,
            completion_tokens: completionTokens,
            finish_reasons: this.#finished,
            ttft_ms: this.#firstTokenAt === undefined ? null : since(this.#firstTokenAt),
          }),
      latency_ms: since(this.#clock()),
      ...(error === undefined ? {} : { error }),
    };
  }
}
