/** Which sequences run in the next step, and with how many tokens each. */

import { assert, ClawError } from "../base/mod.ts";
import { QUEUE_MAX } from "./limits.ts";
import type { PagePool } from "./pages.ts";
import type { Sequence } from "./sequence.ts";

/** One sequence's part of a step. */
export interface PlannedSequence {
  readonly sequence: Sequence;
  /** Tokens to feed: 1 while decoding, up to the budget while the prompt is read. */
  readonly count: number;
}

export interface SchedulerLimits {
  /** Sequences that run together. */
  readonly batch: number;
  /** Token rows in a step. */
  readonly rows: number;
}

/**
 * First come, first served. Decoding sequences always get their one row; what is left of the row budget goes to
 * prompts, in order, in chunks. A sequence is admitted when pages for its longest possible answer are free.
 */
export class Scheduler {
  readonly #limits: SchedulerLimits;
  readonly #pool: PagePool;
  readonly #waiting: Sequence[] = [];
  readonly #running: Sequence[] = [];

  constructor(limits: SchedulerLimits, pool: PagePool) {
    assert(limits.rows >= limits.batch, "A step has a row for every running sequence.");
    this.#limits = limits;
    this.#pool = pool;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running.length;
  }

  /** Queues a sequence. E_OVERLOADED when the queue is full, E_CONTEXT when it could never run. */
  add(sequence: Sequence): void {
    if (sequence.pagesNeeded > this.#pool.total) {
      const [needed, total] = [sequence.pagesNeeded, this.#pool.total];
      throw new ClawError("E_CONTEXT", `The request needs ${needed} KV pages; the cache has ${total}.`);
    }
    if (this.#waiting.length >= QUEUE_MAX) {
      throw new ClawError("E_OVERLOADED", `${QUEUE_MAX} requests are waiting already.`);
    }
    this.#waiting.push(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees its pages; undefined when it is not here. */
  remove(id: number): Sequence | undefined {
    const waiting = this.#waiting.findIndex((sequence) => sequence.id === id);
    if (waiting >= 0) return this.#waiting.splice(waiting, 1)[0];
    const running = this.#running.findIndex((sequence) => sequence.id === id);
    if (running < 0) return undefined;
    const [sequence] = this.#running.splice(running, 1);
    sequence?.release(this.#pool);
    return sequence;
  }

  /** Every sequence here, running ones first. */
  all(): Sequence[] {
    return [...this.#running, ...this.#waiting];
  }

  /** Admits what fits and shares out the step's rows; every planned token has its page. */
  plan(): PlannedSequence[] {
    this.#admit();
    const plan: PlannedSequence[] = [];
    let rows = this.#limits.rows - this.#running.length;
    for (const sequence of this.#running) {
      const count = Math.min(sequence.pending, 1 + Math.max(0, rows));
      rows -= count - 1;
      sequence.grow(count, this.#pool);
      plan.push({ sequence, count });
    }
    return plan;
  }

  #admit(): void {
    while (this.#running.length < this.#limits.batch) {
      const next = this.#waiting[0];
      if (next === undefined || !this.#pool.reserve(next.pagesNeeded)) return;
      this.#waiting.shift();
      this.#running.push(next);
    }
  }
}
