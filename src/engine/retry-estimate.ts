/** When a client that was turned away may come back: when some of the queue should be gone. */

/** Part of the queue that should have moved on: those turned away do not all come for the same place. */
const QUEUE_SHARE = 0.1;
const SECONDS_MAX = 60;
const SMOOTHING = 0.1;

export class RetryEstimate {
  readonly #clock: () => number;
  #lastEnd: number | undefined;
  /** Between the ends of two requests. */
  #intervalMs = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** A request has been answered. */
  ended(): void {
    const now = this.#clock();
    if (this.#lastEnd !== undefined) {
      this.#intervalMs += (now - this.#lastEnd - this.#intervalMs) * SMOOTHING;
    }
    this.#lastEnd = now;
  }

  /** Whole seconds, from 1 to SECONDS_MAX. */
  seconds(queue: number): number {
    const ms = this.#intervalMs * Math.max(1, queue * QUEUE_SHARE);
    return Math.min(SECONDS_MAX, Math.max(1, Math.ceil(ms / 1000)));
  }
}
