/** The engine's end of the way that tokens leave it. */

import type { FromEngine } from "./messages.ts";
import type { TokenEvent } from "./request.ts";
import type { TokenRing } from "./token-ring.ts";

/**
 * Tokens go through the ring. With log-probabilities they go as messages, and so does everything while the ring was
 * found full, until the reader has said that it caught up: so a request's tokens never overtake each other.
 */
export class TokenSender {
  readonly #ring: TokenRing;
  readonly #send: (message: FromEngine) => void;
  /** Messages in place of ring entries that the reader has not confirmed. */
  #detours = 0;

  constructor(ring: TokenRing, send: (message: FromEngine) => void) {
    this.#ring = ring;
    this.#send = send;
  }

  token(id: number, event: TokenEvent): void {
    if (event.logprob !== undefined) {
      this.#send({ type: "token", id, event, detour: false });
    } else if (this.#detours > 0 || !this.#ring.push(id, event.token, event.finish)) {
      this.#detours++;
      this.#send({ type: "token", id, event, detour: true });
    }
  }

  /** After a step: wakes the reader if it sleeps. */
  flush(): void {
    if (this.#ring.wakes()) this.#send({ type: "tokens" });
  }

  /** The reader has received a message that came in place of a ring entry. */
  confirmed(): void {
    this.#detours--;
  }
}
