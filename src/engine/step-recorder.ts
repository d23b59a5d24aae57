/** Fills the one record of a step, stage by stage, and passes it on. */

import type { ExchangeCounts } from "../kernels/mod.ts";
import type { Plan } from "./plan.ts";
import type { Residency } from "./residency.ts";
import type { Scheduler } from "./scheduler.ts";
import type { EngineObserver, StepRecord } from "./step-record.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Who hears of steps, and how many there were. */
export interface StepAudience {
  readonly observers: EngineObserver[];
  steps: number;
}

export class StepRecorder {
  readonly #clock: () => number;
  readonly #record: Writable<StepRecord>;
  readonly #audience: StepAudience;
  /** When the stage that runs began. */
  #since = 0;

  /** `batch`: the most tokens drawn in a step. */
  constructor(clock: () => number, batch: number, audience: StepAudience) {
    this.#clock = clock;
    this.#audience = audience;
    this.#record = {
      ...{ step: 0, rows: 0, prefillTokens: 0, decodeTokens: 0, running: 0, batch: 0, waiting: 0 },
      ...{ sequences: 0, contendedTaken: 0, contendedPlaces: 0 },
      ...{ pagesUsed: 0, pagesCached: 0, pagesFree: 0, pagesLimit: 0 },
      ...{ prefixLookupTokens: 0, prefixHitTokens: 0, swappedOut: 0, recomputed: 0, swappedIn: 0 },
      ...{ rankExchanges: 0, rankMessages: 0, rankBytes: 0 },
      ...{ planMs: 0, executeMs: 0, sampleMs: 0, deliverMs: 0 },
      drawn: 0,
      drawnIds: new Int32Array(batch),
      drawnTokens: new Int32Array(batch),
    };
  }

  begin(): void {
    this.#since = this.#clock();
    this.#record.drawn = 0;
  }

  planned(plan: Plan, scheduler: Scheduler): void {
    const { waiting, batch } = scheduler;
    this.#record.planMs = this.#lap();
    Object.assign(this.#record, scheduler.counts);
    scheduler.resetCounts();
    this.#record.sequences = plan.length;
    this.#record.contendedTaken = waiting > 0 ? plan.length : 0;
    this.#record.contendedPlaces = waiting > 0 ? batch : 0;
    this.#record.rows = plan.rows;
    this.#record.prefillTokens = plan.promptTokens;
    this.#record.decodeTokens = plan.decoding;
  }

  executed(exchanged: ExchangeCounts | undefined): void {
    this.#record.executeMs = this.#lap();
    this.#record.rankExchanges = exchanged?.exchanges ?? 0;
    this.#record.rankMessages = exchanged?.messages ?? 0;
    this.#record.rankBytes = exchanged?.bytes ?? 0;
  }

  sampled(): void {
    this.#record.sampleMs = this.#lap();
  }

  drew(id: number, token: number): void {
    const record = this.#record;
    record.drawnIds[record.drawn] = id;
    record.drawnTokens[record.drawn++] = token;
  }

  /** The step is over: says so to all who watch. Its time in milliseconds. */
  delivered(scheduler: Scheduler, residency: Residency): number {
    const record = this.#record;
    record.deliverMs = this.#lap();
    this.#takeState(scheduler, residency);
    record.step = this.#audience.steps++;
    for (const observer of this.#audience.observers) observer.stepped?.(record);
    return record.planMs + record.executeMs + record.sampleMs + record.deliverMs;
  }

  /** There was nothing to step: requests may have been cancelled since the last step, and what they held is free. */
  idled(scheduler: Scheduler, residency: Residency): void {
    this.#takeState(scheduler, residency);
    for (const observer of this.#audience.observers) observer.idled?.(this.#record);
  }

  #takeState(scheduler: Scheduler, residency: Residency): void {
    const record = this.#record;
    record.running = scheduler.running;
    record.batch = scheduler.batch;
    record.waiting = scheduler.waiting;
    record.pagesUsed = residency.used;
    record.pagesCached = residency.cached;
    record.pagesFree = residency.free;
    record.pagesLimit = residency.limit;
  }

  #lap(): number {
    const now = this.#clock();
    const ms = now - this.#since;
    this.#since = now;
    return ms;
  }
}
