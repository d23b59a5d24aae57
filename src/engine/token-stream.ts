/** A queue of token events read as an async iteration. */

import type { ClawError } from "../base/mod.ts";
import type { TokenEvent } from "./request.ts";

export class TokenStream implements AsyncIterableIterator<TokenEvent> {
  readonly #cancel: () => void;
  readonly #events: TokenEvent[] = [];
  #error: ClawError | undefined;
  #finished = false;
  #wake: (() => void) | undefined;

  /** `cancel` is called when the reader leaves before the last event. */
  constructor(cancel: () => void) {
    this.#cancel = cancel;
  }

  push(event: TokenEvent): void {
    this.#events.push(event);
    this.#finished = event.finish !== undefined;
    this.#wake?.();
  }

  fail(error: ClawError): void {
    this.#error ??= error;
    this.#finished = true;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<TokenEvent>> {
    while (this.#events.length === 0 && !this.#finished) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const event = this.#events.shift();
    if (event !== undefined) return { done: false, value: event };
    if (this.#error !== undefined) throw this.#error;
    return { done: true, value: undefined };
  }

  /** The reader leaves; a `next` that still waits ends too. */
  async return(): Promise<IteratorResult<TokenEvent>> {
    if (!this.#finished) this.#cancel();
    this.#finished = true;
    this.#events.length = 0;
    this.#wake?.();
    return { done: true, value: undefined };
  }
}
