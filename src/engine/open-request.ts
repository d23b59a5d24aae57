/** A request that the engine has not finished: enough of it to go on in another engine. */

import type { GenerationRequest, TokenEvent } from "./request.ts";
import type { TokenStream } from "./token-stream.ts";

export class OpenRequest {
  readonly stream: TokenStream;
  /** Engines that ended while it was in them. */
  restarts = 0;
  readonly #request: GenerationRequest;
  readonly #queuedAt: number;
  readonly #drawn: number[] = [];

  constructor(request: GenerationRequest, stream: TokenStream, queuedAt: number) {
    this.#request = request;
    this.stream = stream;
    this.#queuedAt = queuedAt;
  }

  push(event: TokenEvent): void {
    this.#drawn.push(event.token);
    this.stream.push(event);
  }

  /** What is still to be answered: the same request with the tokens there are, and the time that is left. */
  rest(now: number): GenerationRequest {
    const { drawn = new Int32Array(0), deadlineMs } = this.#request;
    const left = deadlineMs === undefined ? undefined : Math.max(1, deadlineMs - (now - this.#queuedAt));
    return { ...this.#request, drawn: Int32Array.from([...drawn, ...this.#drawn]), deadlineMs: left };
  }
}
