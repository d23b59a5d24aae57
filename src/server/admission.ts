/** Which requests are taken in: none while the server stops, and no more answers than may run and wait. */

import { ClawError } from "../base/mod.ts";
import { OVERLOAD_RETRY_SECONDS, SHUTDOWN_RETRY_SECONDS } from "./limits.ts";

export interface Capacity {
  /** Answers that run together. */
  readonly maxBatch: number;
  /** Answers that may wait beside them. */
  readonly maxQueueSize: number;
}

export class Admission {
  readonly #capacity: () => Capacity;
  readonly #whenEmpty = new Set<() => void>();
  #answers = 0;
  #visits = 0;
  #draining = false;

  constructor(capacity: () => Capacity) {
    this.#capacity = capacity;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Takes nothing in any more. */
  drain(): void {
    this.#draining = true;
  }

  /** Lets a request in; call what it returns when its connection is done with it. Errors: E_SHUTDOWN. */
  visit(): () => void {
    if (this.#draining) {
      const options = { retryAfterSeconds: SHUTDOWN_RETRY_SECONDS };
      throw new ClawError("E_SHUTDOWN", "The server is stopping and takes no new requests.", options);
    }
    this.#visits++;
    return once(() => {
      this.#visits--;
      if (this.#visits > 0) return;
      for (const wake of this.#whenEmpty) wake();
      this.#whenEmpty.clear();
    });
  }

  /** Takes places for all answers of a request, or for none; call what it returns to free them. Errors: E_OVERLOADED. */
  enter(answers: number): () => void {
    const { maxBatch, maxQueueSize } = this.#capacity();
    if (this.#answers + answers > maxBatch + maxQueueSize) {
      const held = `${maxBatch} answers run together and ${maxQueueSize} may wait`;
      const asked = `${this.#answers} are open, and ${answers} more were asked for`;
      const options = { retryAfterSeconds: OVERLOAD_RETRY_SECONDS };
      throw new ClawError("E_OVERLOADED", `The queue is full: ${held}; ${asked}.`, options);
    }
    return this.adopt(answers);
  }

  /** Takes places for answers that another server let in, whether or not there are any; call what it returns to free them. */
  adopt(answers: number): () => void {
    this.#answers += answers;
    return once(() => {
      this.#answers -= answers;
    });
  }

  /** Resolves when no request is open. */
  emptied(): Promise<void> {
    if (this.#visits === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.add(resolve));
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
