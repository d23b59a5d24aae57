/** What is known of one request, for its line in the log and the server's counters. */

import type { FinishReason } from "../engine/mod.ts";
import type { Caller } from "./keys.ts";

export class RequestAccount {
  readonly #clock: () => number;
  /** On the clock, in milliseconds. */
  readonly #startedAt: number;
  #firstTokenAt: number | undefined;
  readonly #finished: Record<string, number> = {};
  caller: Caller | undefined;
  model: string | undefined;
  promptTokens = 0;
  /** Tokens drawn for all its answers. */
  completionTokens = 0;
  /** The code of what it failed with. */
  error: string | undefined;

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#startedAt = clock();
  }

  /** Notes what was added to an answer. */
  piece({ drawn, finish }: { readonly drawn: number; readonly finish: FinishReason | null }): void {
    if (drawn > 0) this.#firstTokenAt ??= this.#clock();
    this.completionTokens += drawn;
    if (finish !== null) this.#finished[finish] = (this.#finished[finish] ?? 0) + 1;
  }

  /** Answers that ended, by how. */
  get finished(): Readonly<Record<string, number>> {
    return this.#finished;
  }

  /** What a line of the log says; times are in milliseconds. */
  summary(): object {
    const since = (at: number): number => Math.round((at - this.#startedAt) * 1000) / 1000;
    const { caller, model, promptTokens, completionTokens, error } = this;
    return {
      tenant: caller?.tenant,
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
