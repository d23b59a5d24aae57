/** How long requests stood still because the runtime under them was replaced. */

import type { Engine } from "./engine.ts";

export interface GapListener {
  /** Milliseconds from any beginning. */
  readonly clock: () => number;
  /** From the end of the last step before to the end of the first one after, in seconds. */
  readonly paused: (seconds: number) => void;
}

export class GapWatch {
  readonly #clock: () => number;
  /** When a step last ended, or work came. */
  #stillAt: number;
  #moved = false;

  constructor(engine: Engine, { clock, paused }: GapListener) {
    this.#clock = clock;
    this.#stillAt = clock();
    engine.observe({
      stepped: () => {
        if (this.#moved) paused((clock() - this.#stillAt) / 1000);
        this.#moved = false;
        this.#stillAt = clock();
      },
      idled: () => {
        this.#moved = false;
      },
    });
  }

  /** A request came when there was none. */
  began(): void {
    this.#stillAt = this.#clock();
  }

  /** The runtime was replaced. */
  moved(): void {
    this.#moved = true;
  }
}
