/**
 * Keeps a runtime ready beside the one that is used: its ranks run, hold the weights and have met. When a rank is lost the spare
 * takes over, and nobody waits for processes to start. It costs the weights' memory once more.
 */

import { asClawError, type ClawError } from "../../base/mod.ts";
import type { OpenRuntime, Parallelism, RuntimeSource } from "../../engine/mod.ts";
import { SPARE_ATTEMPTS_MAX } from "./limits.ts";

export interface SparedOptions {
  /** Lets those that are used begin before a spare takes the machine's time. */
  readonly pause: () => Promise<void>;
  /** Told why there is no spare. */
  readonly onMissing: (error: ClawError) => void;
}

interface Spare {
  readonly parallelism: Parallelism;
  /** Undefined when it could not be opened. */
  readonly opening: Promise<OpenRuntime | undefined>;
}

export class SparedSource implements RuntimeSource {
  readonly #source: RuntimeSource;
  readonly #options: SparedOptions;
  #spare: Spare | undefined;
  #closed = false;

  constructor(source: RuntimeSource, options: SparedOptions) {
    this.#source = source;
    this.#options = options;
  }

  onChange(listener: () => void): void {
    this.#source.onChange?.(listener);
  }

  async open(parallelism: Parallelism): Promise<OpenRuntime> {
    const runtime = (await this.#taken(parallelism)) ?? (await this.#source.open(parallelism));
    if (this.#spare === undefined) this.#renew(parallelism);
    return runtime;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#dropped();
    await this.#source.close();
  }

  /** The spare, if it is one of the kind and still there. */
  async #taken({ tensor, pipeline }: Parallelism): Promise<OpenRuntime | undefined> {
    const spare = this.#spare;
    if (spare === undefined) return undefined;
    if (spare.parallelism.tensor !== tensor || spare.parallelism.pipeline !== pipeline) {
      // Its memory is needed for what takes its place.
      await this.#dropped();
      return undefined;
    }
    this.#spare = undefined;
    const runtime = await spare.opening;
    if (runtime === undefined || !runtime.lost.aborted) return runtime;
    void runtime.close();
    return undefined;
  }

  #renew(parallelism: Parallelism): void {
    const spare = { parallelism, opening: this.#prepare(parallelism) };
    this.#spare = spare;
    void spare.opening.then((runtime) => {
      const lost = (): void => {
        // One that was given away is looked after by who has it.
        if (this.#spare !== spare || this.#closed) return;
        void runtime?.close();
        this.#renew(parallelism);
      };
      runtime?.lost.addEventListener("abort", lost, { once: true });
    });
  }

  /** Several attempts, where processes die that are just starting. */
  async #prepare(parallelism: Parallelism): Promise<OpenRuntime | undefined> {
    for (let attempt = 0; attempt < SPARE_ATTEMPTS_MAX; attempt++) {
      await this.#options.pause();
      if (this.#closed) return undefined;
      try {
        return await this.#source.open(parallelism);
      } catch (thrown) {
        const error = asClawError(thrown);
        this.#options.onMissing(error);
        if (error.code !== "E_LINK") return undefined;
      }
    }
    return undefined;
  }

  async #dropped(): Promise<void> {
    const spare = this.#spare;
    this.#spare = undefined;
    await (await spare?.opening)?.close();
  }
}
