/** I/O: a clock, timers. So many at a time, in the order in which they came, each with a rest after it, that others have their turn on the machine. */

import { setTimeout as sleep } from "node:timers/promises";
import { REST_MS_MAX, REST_RATIO } from "./limits.ts";

export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    const start = performance.now();
    try {
      return await work();
    } finally {
      await sleep(Math.min(REST_MS_MAX, REST_RATIO * (performance.now() - start)));
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
