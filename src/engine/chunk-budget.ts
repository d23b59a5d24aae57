/**
 * How many prompt tokens go into a step beside decoding sequences: as many as let the step take twice as long as one
 * that only decodes, in all but one of a hundred steps. Streams then slow down to half at most, and prompts get about
 * half of the machine or, where decoding leaves arithmetic idle, more. Where every place of the batch is taken, places whose
 * prompt is not read stand empty while others wait: steps may then take longer by the square of the places over those that
 * decode. Learned from the steps' own times; it changes no bit (arithmetic.md).
 */

import { at } from "../base/mod.ts";

/** A mixed step's time against a decoding one's, for 99 of 100 steps. */
const STEP_RATIO = 2;
const SHARE_BELOW = 0.99;

/**
 * How fast the spread of step times is learned, and what it is taken for at first and at most. Where neighbours make
 * steps spread further, smaller chunks would not keep them short: prompts would only starve, and the places of a batch
 * stand empty.
 */
const SPREAD_STEP = 0.02;
const SPREAD_ASSUMED = 1.08;
const SPREAD_MAX = 1.15;

/** Mixed steps after which one that only decodes is measured again; sooner where so many rows never were. */
const MEASURED_FOR = 64;
const UNMEASURED_FOR = 16;

/** How much a new time counts. */
const SMOOTHING = 0.1;

/** A step takes some time, whatever the clock says; 0 stands for what was not measured. */
const STEP_MS_MIN = 1e-3;

/** A new time counts as at most so many times what is known. */
const BELIEVED_RATIO = 2;

/**
 * Kernels take rows in groups (`kGroupTokens` in native/lanes/linear.h). Beginning another costs as much as several rows,
 * so a group that would hold fewer than these is not begun; within a group a row costs about the same as the next.
 */
const ROW_GROUP = 24;
const GROUP_ROWS_MIN = 6;

/** Prompt tokens that always go: less would only be waste. */
const CHUNK_MIN = 8;

/** A prompt token's time before any was measured. */
const TOKEN_MS_ASSUMED = 1;

export class ChunkBudget {
  readonly #rows: number;
  #most: number;
  /** Time of a step that only decodes, by the number of its rows; 0: not known. */
  readonly #decodeMs: Float64Array;
  /** Time that a prompt token adds to a step that also decodes; 0: not known. */
  #addedMs = 0;
  /** Time of a prompt token in any step. */
  #tokenMs = TOKEN_MS_ASSUMED;
  /** What 99 of 100 mixed steps stay below, as a multiple of the time expected. */
  #spread = SPREAD_ASSUMED;
  #sinceMeasured = 0;

  /** `rows`: the most a step has, and `batch` of them the most that decode. */
  constructor(rows: number, batch: number, most: number) {
    this.#rows = rows;
    this.#most = most;
    this.#decodeMs = new Float64Array(batch + 1);
  }

  /** The most prompt tokens in a step beside decoding sequences, however quick it would be. */
  set most(tokens: number) {
    this.#most = tokens;
  }

  get most(): number {
    return this.#most;
  }

  /** What a prompt token is estimated to take, in milliseconds. */
  get tokenMs(): number {
    return this.#tokenMs;
  }

  /** Prompt tokens for a step with so many decoding sequences; `places`: how many would decode if prompts did not wait. */
  tokens(decoding: number, places: number): number {
    const room = this.#rows - decoding;
    if (decoding === 0) return room;
    const decodingMs = this.#decodingMs(decoding);
    const measured = at(this.#decodeMs, decoding) > 0;
    if (decodingMs === 0 || this.#sinceMeasured >= (measured ? MEASURED_FOR : UNMEASURED_FOR)) return 0;
    const shortfall = places / decoding;
    const ratio = STEP_RATIO * shortfall * shortfall;
    const spareMs = (ratio / this.#spread - 1) * decodingMs;
    const affordable = Math.floor(spareMs / (this.#addedMs || this.#tokenMs));
    const begun = (affordable + decoding) % ROW_GROUP;
    const worth = begun < GROUP_ROWS_MIN ? affordable - begun : affordable;
    return Math.min(room, this.#most, Math.max(CHUNK_MIN, worth));
  }

  /** A step of so many decoding sequences and prompt tokens took so long. */
  record(decoding: number, prompt: number, ms: number): void {
    if (prompt === 0) {
      this.#recordDecoding(decoding, ms);
      return;
    }
    this.#tokenMs += (ms / prompt - this.#tokenMs) * SMOOTHING;
    if (decoding === 0) return;
    this.#sinceMeasured++;
    const decodingMs = this.#decodingMs(decoding);
    // Where decoding leaves arithmetic idle, prompt tokens may seem to cost nothing.
    const measured = Math.max(ms - decodingMs, ms / 64) / prompt;
    if (this.#addedMs === 0) this.#addedMs = measured;
    const added = believable(measured, this.#addedMs);
    if (decodingMs > 0) this.#learnSpread(ms / (decodingMs + this.#addedMs * prompt));
    this.#addedMs += (added - this.#addedMs) * SMOOTHING;
  }

  /** Moves towards the quantile: up a little for each step above it, down a ninety-ninth of that for one below. */
  #learnSpread(ratio: number): void {
    const moved = this.#spread + SPREAD_STEP * (ratio > this.#spread ? SHARE_BELOW : SHARE_BELOW - 1);
    this.#spread = Math.min(SPREAD_MAX, Math.max(1, moved));
  }

  #recordDecoding(decoding: number, ms: number): void {
    const known = at(this.#decodeMs, decoding);
    this.#decodeMs[decoding] =
      known === 0 ? Math.max(ms, STEP_MS_MIN) : known + (believable(ms, known) - known) * SMOOTHING;
    this.#sinceMeasured = 0;
  }

  /** Time of a step that only decodes, as measured for so many rows or else for the number nearest to it; 0: for none. */
  #decodingMs(decoding: number): number {
    const times = this.#decodeMs;
    for (let away = 0; away < times.length; away++) {
      const ms = times[decoding - away] || times[decoding + away];
      if (ms !== undefined && ms > 0) return ms;
    }
    return 0;
  }
}

/** A step during which the processor was away says little about the next. */
function believable(ms: number, known: number): number {
  return Math.min(ms, BELIEVED_RATIO * known);
}
