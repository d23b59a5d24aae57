/**
 * An accrual failure detector (Hayashibara et al., "The phi accrual failure detector", 2004): how suspicious a silence is, by
 * the intervals between the heartbeats that were seen. Where heartbeats come with much jitter it waits longer.
 */

import { at } from "../../base/mod.ts";

/** Intervals that are remembered of each node. */
const INTERVALS_MAX = 100;

export interface DetectorOptions {
  /** What heartbeats are sent at. */
  readonly heartbeatMs: number;
  /** The intervals seen last, of several nodes that are alike and of those before them; undefined: none yet, and this node's alone. */
  readonly intervals?: number[] | undefined;
}

export class FailureDetector {
  readonly #heartbeatMs: number;
  readonly #intervals: number[];
  #heardAt: number;

  /** A node that is heard of at `now` for the first time. */
  constructor(now: number, { heartbeatMs, intervals = [] }: DetectorOptions) {
    this.#heartbeatMs = heartbeatMs;
    this.#intervals = intervals;
    this.#heardAt = now;
  }

  /** When it was last heard of. */
  get heardAt(): number {
    return this.#heardAt;
  }

  heard(now: number): void {
    if (this.#intervals.push(now - this.#heardAt) > INTERVALS_MAX) this.#intervals.shift();
    this.#heardAt = now;
  }

  /** Whoever watches was away itself for so long: that silence says nothing. */
  excuse(ms: number): void {
    this.#heardAt += ms;
  }

  /**
   * -log10 of the probability that a heartbeat still comes after such a silence, where intervals are normally distributed: 1 is
   * one mistake in ten, 8 one in a hundred million.
   */
  phi(now: number): number {
    const silence = now - this.#heardAt;
    const { mean, deviation } = this.#distribution();
    const y = (silence - mean) / deviation;
    // The logistic approximation of the normal distribution; for large y the exponential vanishes, so its logarithm is taken.
    const exponent = y * (1.5976 + 0.070566 * y * y);
    if (exponent > 30) return exponent / Math.LN10;
    return Math.log10(1 + Math.exp(exponent));
  }

  #distribution(): { readonly mean: number; readonly deviation: number } {
    // As if it had been heard of twice before: at the pace that was agreed on, give or take half of it.
    const usual = this.#heartbeatMs;
    const intervals = [0.5 * usual, 1.5 * usual, ...this.#intervals];
    const mean = intervals.reduce((sum, interval) => sum + interval, 0) / intervals.length;
    let squares = 0;
    for (let index = 0; index < intervals.length; index++) squares += (at(intervals, index) - mean) ** 2;
    // Never so sure that a scheduler's time slice would count as death.
    const least = usual / 4;
    return { mean: Math.max(mean, usual), deviation: Math.max(least, Math.sqrt(squares / intervals.length)) };
  }
}
