/** Generation that goes on after tokens that another engine has drawn. */

import type { TokenGenerator } from "./client.ts";
import type { GenerationRequest, TokenEvent } from "./request.ts";

/** Told of every token on its way. */
export type TokenListener = (event: TokenEvent) => void;

/** The same answers, with the first tokens of each request told again instead of being drawn; `drawn` may end with the answer. */
export function continued(generator: TokenGenerator, drawn: readonly TokenEvent[]): TokenGenerator {
  return {
    generate: (request) => {
      if (drawn.at(-1)?.finish !== undefined) return new PassedStream(drawn, undefined);
      const tokens = Int32Array.from(drawn, ({ token }) => token);
      // It begins at once: what was drawn is computed while it is told.
      const rest: GenerationRequest = drawn.length === 0 ? request : { ...request, drawn: tokens };
      return new PassedStream(drawn, generator.generate(rest)[Symbol.asyncIterator]());
    },
  };
}

/** The same answers; `listener` is told of each token just before its reader is. */
export function observed(generator: TokenGenerator, listener: TokenListener): TokenGenerator {
  return {
    generate: (request) =>
      new PassedStream([], generator.generate(request)[Symbol.asyncIterator](), listener),
  };
}

/** A class, because a reader may leave while it waits for a token. */
class PassedStream implements AsyncIterableIterator<TokenEvent> {
  readonly #first: readonly TokenEvent[];
  readonly #rest: AsyncIterator<TokenEvent> | undefined;
  readonly #listener: TokenListener | undefined;
  #told = 0;
  #left = false;

  constructor(
    first: readonly TokenEvent[],
    rest: AsyncIterator<TokenEvent> | undefined,
    listener?: TokenListener,
  ) {
    this.#first = first;
    this.#rest = rest;
    this.#listener = listener;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<TokenEvent>> {
    if (this.#left) return { done: true, value: undefined };
    const event = this.#first[this.#told];
    if (event !== undefined) {
      this.#told++;
      return { done: false, value: event };
    }
    const result = (await this.#rest?.next()) ?? { done: true, value: undefined };
    if (!result.done) this.#listener?.(result.value);
    return result;
  }

  async return(): Promise<IteratorResult<TokenEvent>> {
    this.#left = true;
    await this.#rest?.return?.();
    return { done: true, value: undefined };
  }
}
