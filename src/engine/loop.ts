/** Keeps an engine stepping while it has work, and asleep while it has none. */

import { asClawError } from "../base/mod.ts";
import type { Engine } from "./engine.ts";

export class EngineLoop {
  readonly #engine: Engine;
  readonly #pause: () => Promise<void>;
  #running: Promise<void> | undefined;
  #woken = false;
  #closed = false;

  /** `pause` lets other events of the thread in between two steps. */
  constructor(engine: Engine, pause: () => Promise<void>) {
    this.#engine = engine;
    this.#pause = pause;
  }

  /** Called when there may be work; does nothing while the loop is running. */
  wake(): void {
    this.#woken = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // A call that came after the last step had found nothing.
      if (this.#woken && !this.#closed) this.wake();
    });
  }

  /** Lets the current step end and runs no other. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed) {
        this.#woken = false;
        if (!(await this.#engine.step())) return;
        await this.#pause();
      }
    } catch (error) {
      this.#engine.failAll(asClawError(error));
    }
  }
}
