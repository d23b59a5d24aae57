/** Which sequences run in the next step, and with how many tokens each. */

import { assert, at } from "../base/mod.ts";
import { ChunkBudget } from "./chunk-budget.ts";
import { SHARED_FAILURES_MAX } from "./limits.ts";
import type { Plan } from "./plan.ts";
import type { Residency } from "./residency.ts";
import { pagesFor, type Sequence } from "./sequence.ts";
import { Tenants } from "./tenants.ts";
import { WaitingRequests } from "./waiting.ts";

export interface SchedulerLimits {
  /** Sequences that run together at first, and the most that may. */
  readonly batch: number;
  readonly batchMax: number;
  /** Token rows in a step. */
  readonly rows: number;
  /** The most prompt tokens in a step beside decoding sequences. */
  readonly prefillChunkTokens: number;
  /** Steps that may be under way at a time, of other sequences each; undefined: one. */
  readonly lanes?: number | undefined;
  /** Another is begun only where each has so many sequences; undefined: 1. */
  readonly laneSequences?: number | undefined;
}

interface Lanes {
  readonly lanes: number;
  readonly laneSequences: number;
}

/** What happened while a step was planned. */
export interface PlanCounts {
  prefixLookupTokens: number;
  prefixHitTokens: number;
  swappedOut: number;
  recomputed: number;
  swappedIn: number;
}

/**
 * Running sequences are ranked by priority, then arrival. Each that decodes has its row in every step; prompts share
 * the chunk budget in order of rank. Where pages run out, the sequence of lowest rank gives its own up and waits. So
 * the first in rank always moves on, and when it has ended the next is first: everything ends.
 */
export class Scheduler {
  readonly counts: PlanCounts = {
    prefixLookupTokens: 0,
    prefixHitTokens: 0,
    swappedOut: 0,
    recomputed: 0,
    swappedIn: 0,
  };
  #budget: ChunkBudget;
  #residency: Residency;
  readonly #tenants = new Tenants();
  readonly #waiting = new WaitingRequests(this.#tenants);
  /** By rank. */
  readonly #running: Sequence[] = [];
  #lanes: Lanes;
  #batch: number;
  /** Who could not enter last, how many pages there were to spare then, and what the prefix cache had seen. */
  #blocked: Sequence | undefined;
  #blockedRoom = 0;
  #blockedAdditions = 0;

  constructor(limits: SchedulerLimits, residency: Residency) {
    this.#batch = limits.batch;
    this.#lanes = lanesOf(limits);
    this.#budget = budgetOf(limits);
    this.#residency = residency;
  }

  /** Goes on with the pages of another device: everyone waits, and what was computed for them is gone. */
  move(limits: SchedulerLimits, residency: Residency): void {
    for (const sequence of this.#running.splice(0)) {
      this.#wait(sequence);
    }
    for (const sequence of this.#waiting) {
      sequence.swapped = undefined;
      sequence.drop();
    }
    this.#blocked = undefined;
    this.#batch = limits.batch;
    this.#lanes = lanesOf(limits);
    this.#budget = budgetOf(limits);
    this.#residency = residency;
  }

  get budget(): ChunkBudget {
    return this.#budget;
  }

  get waiting(): number {
    return this.#waiting.count;
  }

  get running(): number {
    return this.#running.length;
  }

  /** Sequences that run together. */
  get batch(): number {
    return this.#batch;
  }

  set batch(sequences: number) {
    this.#batch = sequences;
  }

  add(sequence: Sequence): void {
    this.#tenants.arrive(sequence.tenant);
    this.#waiting.add(sequence);
  }

  /** Takes a sequence out, wherever it is, and frees what it held. */
  remove(sequence: Sequence): void {
    this.#tenants.leave(sequence.tenant);
    if (this.#blocked === sequence) this.#blocked = undefined;
    if (this.#waiting.remove(sequence)) {
      this.#residency.forget(sequence);
      return;
    }
    const index = this.#running.indexOf(sequence);
    assert(index >= 0, "A sequence waits or runs until it is removed.");
    this.#running.splice(index, 1);
    this.#residency.leave(sequence);
  }

  /** Plans the next step beside those that are `underWay`; every planned token has its page. Empty when nobody can run in it. */
  plan(now: number, plan: Plan, underWay = 0): void {
    plan.clear();
    this.#fitLimits();
    this.#admit(now);
    const { lanes, laneSequences } = this.#lanes;
    const wanted = Math.max(1, Math.min(lanes, Math.floor(this.#running.length / laneSequences)));
    if (underWay >= wanted) return;
    const most = Math.ceil(this.#running.length / wanted);
    do this.#shareOut(plan, most, underWay);
    while (plan.length === 0 && underWay === 0 && this.#running.length > 0);
    assert(
      plan.length > 0 || underWay > 0 || this.#waiting.count === 0,
      "Whoever waits can run when nobody else does.",
    );
  }

  /** Accounts for a sequence's part of an executed step. */
  fed(sequence: Sequence, count: number): void {
    const drawn = sequence.pending === count ? 1 : 0;
    this.#tenants.charge(sequence.tenant, count - drawn, drawn);
    sequence.advance(count);
  }

  /** Begins to count anew. */
  resetCounts(): void {
    const { counts } = this;
    counts.prefixLookupTokens = 0;
    counts.prefixHitTokens = 0;
    counts.swappedOut = 0;
    counts.recomputed = 0;
    counts.swappedIn = 0;
  }

  /** After a limit was lowered: the lowest in rank wait until there is room again. */
  #fitLimits(): void {
    while (this.#running.length > this.#batch || this.#residency.overfull) this.#preemptLast();
    this.#residency.discardWithdrawn();
  }

  #admit(now: number): void {
    for (let next = this.#waiting.next(); next !== undefined; next = this.#waiting.next()) {
      if (!this.#makeRoom(next)) return;
      this.#waiting.remove(next);
      next.admittedAt ??= now;
      this.#insert(next);
    }
  }

  /** Brings a sequence in, in place of ones of lower priority if need be; false while there is no room. */
  #makeRoom(sequence: Sequence): boolean {
    for (;;) {
      if (this.#running.length < this.#batch && this.#enter(sequence)) return true;
      const last = this.#running.at(-1);
      if (last === undefined || last.priority >= sequence.priority) return false;
      this.#preemptLast();
    }
  }

  #enter(sequence: Sequence): boolean {
    const { swapped, cached } = sequence;
    // Room for the prompts that are being read, and a page in hand for each that runs: or one would have to go soon.
    const spare = this.#running.reduce((sum, other) => sum + 1 + missingPages(other), 0);
    const room = this.#residency.free + this.#residency.cached - spare;
    if (this.#isBlocked(sequence, room)) return false;
    if (!this.#residency.enter(sequence, spare)) {
      this.#blocked = sequence;
      this.#blockedRoom = room;
      this.#blockedAdditions = this.#residency.additions;
      return false;
    }
    this.#blocked = undefined;
    if (swapped !== undefined) this.counts.swappedIn++;
    else this.#countHit(sequence, sequence.cached - cached);
    return true;
  }

  /** Whether a sequence was tried when there was as much room and the cache had as much: it need not be looked up again. */
  #isBlocked(sequence: Sequence, room: number): boolean {
    return (
      this.#blocked === sequence &&
      room <= this.#blockedRoom &&
      this.#residency.additions === this.#blockedAdditions
    );
  }

  #countHit(sequence: Sequence, hitTokens: number): void {
    this.counts.prefixLookupTokens += sequence.length;
    this.counts.prefixHitTokens += hitTokens;
    if (sequence.preemptions === 0) sequence.prefixHitTokens += hitTokens;
  }

  #insert(sequence: Sequence): void {
    let place = this.#running.length;
    while (place > 0 && ranksBefore(sequence, at(this.#running, place - 1))) place--;
    this.#running.splice(place, 0, sequence);
  }

  /**
   * At most so many sequences: those that decode get their row, prompts what the budget allows, all as far as there are pages.
   * Whoever may be why steps fail has one alone.
   */
  #shareOut(plan: Plan, most: number, underWay: number): void {
    const ready = this.#ready();
    // Prompts alone do not make those wait for long that decode in another step.
    const decoding = decodingOf(ready, most) || (underWay > 0 ? decodingOf(this.#running, most) : 0);
    const full = this.#running.length >= this.#batch;
    let budget = this.#budget.tokens(decoding, full ? Math.min(most, ready.length) : decoding);
    for (let i = 0; i < ready.length && plan.length < most; i++) {
      const sequence = at(ready, i);
      // It was the last in rank, and others needed its pages.
      if (sequence.pageCount === 0 && !this.#running.includes(sequence)) continue;
      const decodes = sequence.pending === 1;
      if (!decodes && budget > 0) this.#reuse(sequence);
      const count = decodes ? 1 : Math.min(sequence.pending, budget);
      if (count === 0 || !this.#secure(sequence, count)) continue;
      if (!decodes) budget -= count;
      plan.add(sequence, count);
    }
  }

  /** Those that run and are in no step, by rank. */
  #ready(): readonly Sequence[] {
    const suspect = this.#running.find(({ failedSteps }) => failedSteps >= SHARED_FAILURES_MAX);
    const alone = !this.#running.some(({ stepping }) => stepping);
    if (suspect !== undefined) return alone ? [suspect] : [];
    return alone ? this.#running : this.#running.filter(({ stepping }) => !stepping);
  }

  /** What another sequence has computed meanwhile need not be computed again. */
  #reuse(sequence: Sequence): void {
    const { cached } = sequence;
    this.#residency.reuse(sequence);
    this.counts.prefixHitTokens += sequence.cached - cached;
    if (sequence.preemptions === 0) sequence.prefixHitTokens += sequence.cached - cached;
  }

  /** Finds pages for a sequence's next tokens, at the cost of those last in rank; false when it is the last itself. */
  #secure(sequence: Sequence, count: number): boolean {
    while (!this.#residency.grow(sequence, count)) {
      if (this.#preemptLast() === sequence) return false;
    }
    return true;
  }

  #preemptLast(): Sequence {
    const sequence = this.#running.pop();
    assert(sequence !== undefined, "Pages in use are used by somebody.");
    const kind = this.#residency.suspend(sequence, this.#budget.tokenMs);
    this.counts[kind === "swap" ? "swappedOut" : "recomputed"]++;
    this.#wait(sequence);
    return sequence;
  }

  /** A step that it is in may be under way: what that computes for it counts no more. */
  #wait(sequence: Sequence): void {
    sequence.preemptions++;
    sequence.stepping = false;
    this.#waiting.add(sequence);
  }
}

function budgetOf({ batch, batchMax, rows, prefillChunkTokens }: SchedulerLimits): ChunkBudget {
  assert(batch <= batchMax && rows >= batchMax, "A step has a row for every running sequence.");
  return new ChunkBudget(rows, batchMax, prefillChunkTokens);
}

function lanesOf({ lanes = 1, laneSequences = 1 }: SchedulerLimits): Lanes {
  return { lanes, laneSequences };
}

/** How many decode, up to `most`. */
function decodingOf(running: readonly Sequence[], most: number): number {
  let count = 0;
  for (const { pending } of running) if (pending === 1 && count < most) count++;
  return count;
}

function missingPages(sequence: Sequence): number {
  return Math.max(0, pagesFor(sequence.length) - sequence.pageCount);
}

function ranksBefore(a: Sequence, b: Sequence): boolean {
  return a.priority === b.priority ? a.id < b.id : a.priority > b.priority;
}
