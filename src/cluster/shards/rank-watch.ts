/**
 * I/O: a timer. Decides that a rank is lost though its link says nothing: because it is silent, stopped or behind a network that
 * broke, or because a step takes far longer than steps of its size ever did.
 */

import { ClawError } from "../../base/mod.ts";
import { FailureDetector } from "../detector/mod.ts";
import {
  AWAY_MS_MIN,
  BEAT_MS,
  LOOK_MS,
  SILENCE_MS_MIN,
  SILENCE_RATIO,
  STEP_MS_MAX,
  STEP_PATIENCE,
  STEP_SLACK_MS,
  SUSPICION,
} from "./limits.ts";

interface WatchedStep {
  readonly rows: number;
  beganAt: number;
}

export class RankWatch {
  readonly #lost: (error: ClawError) => void;
  /** Of the ranks that were heard of: those of one process say nothing, and are lost with it. */
  readonly #detectors = new Map<number, FailureDetector>();
  /** The slowest step of 2 ** i to 2 ** (i + 1) rows, in milliseconds; 0: none was seen. */
  readonly #slowest = new Float64Array(32);
  readonly #timer: NodeJS.Timeout;
  /** Between two beats, of all ranks, lately. */
  readonly #intervals: number[];
  #lookedAt = performance.now();
  /** Under way, the oldest first. */
  readonly #steps = new Set<WatchedStep>();

  /** `lost` is told once at most. `intervals`: what ranks before these were like, on the same machines. */
  constructor(lost: (error: ClawError) => void, intervals: number[] = []) {
    this.#lost = lost;
    this.#intervals = intervals;
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** A rank was heard of. */
  beat(rank: number): void {
    const now = performance.now();
    const detector = this.#detectors.get(rank);
    if (detector === undefined) {
      const options = { heartbeatMs: BEAT_MS, intervals: this.#intervals };
      this.#detectors.set(rank, new FailureDetector(now, options));
    } else {
      detector.heard(now);
    }
  }

  /** A step of so many rows begins. Whoever calls what it returns says that it is done. */
  began(rows: number): () => void {
    const step = { rows, beganAt: performance.now() };
    this.#steps.add(step);
    return () => {
      this.#steps.delete(step);
      const size = sizeOf(rows);
      const ms = performance.now() - step.beganAt;
      this.#slowest[size] = Math.max(ms, this.#slowest[size] ?? 0);
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const away = now - this.#lookedAt - LOOK_MS;
    this.#lookedAt = now;
    if (away > AWAY_MS_MIN) this.#excuse(away);
    // What has come is heard of after timers, so it is looked at again before anybody is given up.
    if (this.#verdict(now) !== undefined) setImmediate(() => this.#judge(now));
  }

  #judge(now: number): void {
    const verdict = this.#verdict(now);
    if (verdict === undefined) return;
    this.close();
    this.#lost(new ClawError("E_LINK", verdict));
  }

  /** This thread was not there to listen. */
  #excuse(ms: number): void {
    for (const detector of this.#detectors.values()) detector.excuse(ms);
    for (const step of this.#steps) step.beganAt += ms;
  }

  /** Why something is lost; undefined: all is well. */
  #verdict(now: number): string | undefined {
    for (const [rank, detector] of this.#detectors) {
      const silence = now - detector.heardAt;
      const longest = Math.max(SILENCE_MS_MIN, SILENCE_RATIO * Math.max(0, ...this.#intervals));
      if (silence < longest || detector.phi(now) < SUSPICION) continue;
      return `Rank ${rank} has said nothing for ${Math.round(silence)} ms.`;
    }
    for (const { rows, beganAt } of this.#steps) {
      const ms = now - beganAt;
      if (ms < this.#patience(rows)) continue;
      return `A step of ${rows} rows is not done after ${Math.round(ms)} ms.`;
    }
    return undefined;
  }

  /** Milliseconds that a step may take: by the slowest of its size, or of the next larger size that was seen. */
  #patience(rows: number): number {
    const known = this.#slowest.subarray(sizeOf(rows)).find((ms) => ms > 0);
    return known === undefined ? STEP_MS_MAX : STEP_PATIENCE * known + STEP_SLACK_MS;
  }
}

function sizeOf(rows: number): number {
  return 31 - Math.clz32(Math.max(1, rows));
}
