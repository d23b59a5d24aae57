/**
 * Gives an engine another runtime when its own is lost, or when another is wanted. Exact inference makes it a small matter: a
 * step that failed moved nothing on, and every token there is can be computed again, to the same bits.
 */

import { asClawError, ClawError } from "../base/mod.ts";
import type { Engine } from "./engine.ts";
import { DEADLINE_LOOK_MS, OPEN_ATTEMPTS_MAX, OPEN_DELAY_MS, OPEN_DELAY_MS_MAX } from "./limits.ts";
import type { EngineLoop } from "./loop.ts";
import type { OpenRuntime, Parallelism, RuntimeSource } from "./runtime-source.ts";

/** Who hears of it. */
export interface RecoveryListener {
  /** The runtime is lost, and another is asked for. */
  lost(error: ClawError): void;
  /** An attempt to open another failed; there will be more. */
  retried(error: ClawError): void;
  /** The engine goes on with another runtime: after a loss, or because it was wanted. */
  moved(why: "loss" | "change"): void;
  /** None was to be had: every request fails now, and this is the end. */
  gaveUp(error: ClawError): void;
}

export interface RecoveryOptions {
  readonly engine: Engine;
  readonly loop: EngineLoop;
  readonly source: RuntimeSource;
  readonly listener: RecoveryListener;
  readonly delay: (ms: number) => Promise<void>;
  /** Does something again and again until it is told to stop. */
  readonly every: (ms: number, work: () => void) => () => void;
}

/** A runtime, and how it is split. */
export interface RunningPlan {
  readonly runtime: OpenRuntime;
  readonly parallelism: Parallelism;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  /** Settles when nothing is to be opened any more. */
  readonly #closed: Promise<undefined>;
  #close: () => void = () => {};
  #plan: RunningPlan;
  /** Those that nobody has closed. */
  readonly #open = new Set<OpenRuntime>();
  /** Changes come one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Nothing is opened any more. */
  #over = false;

  constructor(options: RecoveryOptions, plan: RunningPlan) {
    this.#options = options;
    this.#plan = plan;
    this.#open.add(plan.runtime);
    this.#closed = new Promise((resolve) => {
      this.#close = () => resolve(undefined);
    });
    this.#watch(plan.runtime);
    options.source.onChange?.(() => this.change(this.#plan.parallelism).catch(options.listener.retried));
  }

  /** The runtime that the engine has now. */
  get runtime(): OpenRuntime {
    return this.#plan.runtime;
  }

  /** For the loop: a step failed. False when the engine is not to go on. */
  async failed(error: ClawError): Promise<boolean> {
    const { lost } = this.#plan.runtime;
    if (lost.aborted && !this.#over) return this.#recover(lost.reason);
    // What no rank's end explains is wrong with the requests, or with us.
    this.#options.engine.failAll(error);
    return false;
  }

  /**
   * Moves to a runtime that is split in another way; requests go on, and no bit changes. It is opened beside the one that runs,
   * or in its place where there is no memory for both. Errors: those of opening it; then everything stays as it was.
   */
  change(parallelism: Parallelism): Promise<void> {
    const changed = this.#turn.then(() => this.#change(parallelism));
    this.#turn = changed.catch(() => {});
    return changed;
  }

  /** Opens nothing any more, so that the loop can be closed. */
  stop(): void {
    this.#over = true;
    this.#close();
  }

  /** Ends what is open; the loop is closed already. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all([...this.#open].map((runtime) => this.#end(runtime)));
    await this.#options.source.close();
  }

  async #change(parallelism: Parallelism): Promise<void> {
    const { loop } = this.#options;
    try {
      const runtime = await this.#wanted(parallelism);
      await loop.between(() => this.#take({ runtime, parallelism }, "change"));
    } catch (error) {
      if (asClawError(error).code !== "E_MEMORY") throw error;
      await loop.between(() => this.#replace(parallelism));
    }
  }

  /** Ends the runtime before another is opened. When that cannot be, one like the one before is. */
  async #replace(parallelism: Parallelism): Promise<void> {
    await this.#end(this.#plan.runtime);
    try {
      const runtime = await this.#wanted(parallelism);
      await this.#take({ runtime, parallelism }, "change");
    } catch (error) {
      await this.#recover(asClawError(error));
      throw error;
    }
  }

  async #wanted(parallelism: Parallelism): Promise<OpenRuntime> {
    const runtime = await this.#opened(parallelism);
    if (runtime !== undefined) return runtime;
    throw new ClawError("E_SHUTDOWN", "The engine is stopping.");
  }

  /** Opens another runtime, with as many attempts as it takes, within reason. False when there is none to be had. */
  async #recover(reason: ClawError): Promise<boolean> {
    const { engine, listener, delay, every } = this.#options;
    const { runtime, parallelism } = this.#plan;
    listener.lost(reason);
    // What else went wrong did so with the work, or may have.
    if (runtime.lost.aborted && reason.code !== "E_LINK") engine.failAll(reason);
    void this.#end(runtime);
    // Requests whose time is over do not wait.
    const stop = every(DEADLINE_LOOK_MS, () => engine.endLate());
    let last = reason;
    try {
      for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX && !this.#over; attempt++) {
        if (attempt > 0) await delay(Math.min(OPEN_DELAY_MS_MAX, OPEN_DELAY_MS << (attempt - 1)));
        try {
          const opened = await this.#opened(parallelism);
          if (opened !== undefined) await this.#take({ runtime: opened, parallelism }, "loss");
          return opened !== undefined;
        } catch (error) {
          last = asClawError(error);
          listener.retried(last);
        }
      }
    } finally {
      stop();
    }
    if (this.#over) return false;
    this.#over = true;
    // In this order: streams that another server can go on with are let go before they fail.
    listener.gaveUp(last);
    engine.failAll(last);
    return false;
  }

  /** Undefined when this was stopped meanwhile: what is opened later is closed at once. */
  async #opened(parallelism: Parallelism): Promise<OpenRuntime | undefined> {
    const opening = this.#options.source.open(parallelism);
    const opened = await Promise.race([opening, this.#closed]);
    if (opened === undefined) opening.then((late) => late.close()).catch(() => {});
    else this.#open.add(opened);
    return opened;
  }

  /** That it does not end well is of no interest: nobody uses it any more. */
  async #end(runtime: OpenRuntime): Promise<void> {
    this.#open.delete(runtime);
    await runtime.close().catch(() => {});
  }

  async #take(plan: RunningPlan, why: "loss" | "change"): Promise<void> {
    const before = this.#plan.runtime;
    this.#plan = plan;
    await this.#options.engine.move(plan.runtime);
    this.#watch(plan.runtime);
    void this.#end(before);
    this.#options.listener.moved(why);
  }

  /** A loss is noticed at once, though no step runs. */
  #watch(runtime: OpenRuntime): void {
    const { loop } = this.#options;
    const recover = async (): Promise<void> => {
      // Where a step was running, it has failed, and that is settled.
      if (this.#plan.runtime === runtime && !this.#over) await this.#recover(runtime.lost.reason);
    };
    const noticed = (): void => void loop.between(recover);
    if (runtime.lost.aborted) noticed();
    else runtime.lost.addEventListener("abort", noticed, { once: true });
  }
}
