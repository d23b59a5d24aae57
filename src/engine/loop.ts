/** Keeps an engine stepping while it has work, and asleep while it has none. */

import { asClawError, type ClawError } from "../base/mod.ts";
import type { Engine } from "./engine.ts";

export interface LoopOptions {
  /** Lets other events of the thread in between two steps. */
  readonly pause: () => Promise<void>;
  /** A step failed, and nothing moved on: false when the engine is not to go on; undefined: every request fails. */
  readonly failed?: ((error: ClawError) => Promise<boolean>) | undefined;
}

export class EngineLoop {
  readonly #engine: Engine;
  readonly #options: LoopOptions;
  readonly #between: (() => Promise<void>)[] = [];
  #running: Promise<void> | undefined;
  #woken = false;
  #closed = false;

  constructor(engine: Engine, options: LoopOptions) {
    this.#engine = engine;
    this.#options = options;
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

  /** Does something while no step is under way. */
  between<T>(work: () => T | Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#between.push(async () => {
      try {
        resolve(await work());
      } catch (error) {
        reject(error);
      }
    });
    this.wake();
    return promise;
  }

  /** Lets the steps under way end and begins no other. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#engine.settle().catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      this.#woken = false;
      const settled = this.#between.length === 0 || (await this.#try(() => this.#engine.settle()));
      // Whoever waits for that must not wait for ever, also when this is the end.
      for (const work of this.#between.splice(0)) await work();
      if (!settled || !(await this.#try(() => this.#engine.step()))) return;
      await this.#options.pause();
    }
  }

  /** False when there is nothing more to do. */
  async #try(work: () => Promise<unknown>): Promise<boolean> {
    try {
      return (await work()) !== false;
    } catch (error) {
      const { failed } = this.#options;
      if (failed !== undefined) return failed(asClawError(error));
      this.#engine.failAll(asClawError(error));
      return false;
    }
  }
}
