/** The tokens still in the draw, with their scaled logits, and the three rules that narrow them. */

import { at, exactExpEach } from "../../base/mod.ts";

/** Scaled logits above which tokens are looked at first when only the likeliest matter. */
const FIRST_CUTS: readonly number[] = [-8, -16, -32, Number.NEGATIVE_INFINITY];

export class Candidates {
  /** Token ids in the draw, ascending. */
  readonly ids: Int32Array;
  /** (logit - largest logit) / temperature of each, in f64. */
  readonly scaled: Float64Array;
  /** e to the power of each, where a rule has asked for it. */
  readonly #weights: Float64Array;
  #count = 0;

  constructor(vocabulary: number) {
    this.ids = new Int32Array(vocabulary);
    this.scaled = new Float64Array(vocabulary);
    this.#weights = new Float64Array(vocabulary);
  }

  get count(): number {
    return this.#count;
  }

  fill(logits: Float32Array, largest: number, temperature: number): void {
    for (let id = 0; id < logits.length; id++) {
      this.ids[id] = id;
      const distance = (logits[id] as number) - largest;
      // Not 0 / temperature's quotient: a subnormal temperature must not make NaN of the largest.
      this.scaled[id] = distance === 0 ? 0 : distance / temperature;
    }
    this.#count = logits.length;
  }

  /** Keeps the `k` likeliest (0: all). */
  keepTopK(k: number): void {
    if (k === 0 || k >= this.#count) return;
    const order = this.#likeliest((found) => found.length >= k);
    this.#keep(order.slice(0, k));
  }

  /** Keeps the shortest run of likeliest tokens whose probabilities reach `p` (1: all); at least one. */
  keepTopP(p: number): void {
    if (p >= 1) return;
    this.#weigh();
    let total = 0;
    for (let i = 0; i < this.#count; i++) total += this.#weights[i] as number;
    const target = p * total;
    let kept = 0;
    const order = this.#likeliest((found) => {
      kept = this.#runReaching(found, target);
      return kept <= found.length;
    });
    this.#keep(order.slice(0, Math.max(1, kept)));
  }

  /** Keeps tokens at least `p` times as likely as the likeliest. */
  keepMinP(p: number): void {
    if (p === 0) return;
    this.#weigh();
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      if ((this.#weights[i] as number) < p) continue;
      this.ids[kept] = at(this.ids, i);
      this.scaled[kept++] = at(this.scaled, i);
    }
    this.#count = kept;
  }

  #weigh(): void {
    for (let i = 0; i < this.#count; i++) this.#weights[i] = this.scaled[i] as number;
    exactExpEach(this.#weights, this.#count);
  }

  /** How many of `order` reach the target, one more than there are when all together do not. */
  #runReaching(order: readonly number[], target: number): number {
    let sum = 0;
    for (let i = 0; i < order.length; i++) {
      sum += at(this.#weights, at(order, i));
      if (sum >= target) return i + 1;
    }
    return order.length === this.#count ? order.length : order.length + 1;
  }

  /**
   * Places of candidates, likeliest first (then by id), as many as `enough` asks for. Only tokens above a cut are
   * sorted; the order of those is the front of the whole order, so the cut changes nothing but the time.
   */
  #likeliest(enough: (found: readonly number[]) => boolean): number[] {
    for (const cut of FIRST_CUTS) {
      const found: number[] = [];
      for (let i = 0; i < this.#count; i++) if ((this.scaled[i] as number) >= cut) found.push(i);
      found.sort((a, b) => at(this.scaled, b) - at(this.scaled, a) || a - b);
      if (enough(found) || found.length === this.#count) return found;
    }
    return [];
  }

  #keep(places: number[]): void {
    places.sort((a, b) => a - b);
    for (let i = 0; i < places.length; i++) {
      const place = at(places, i);
      this.ids[i] = at(this.ids, place);
      this.scaled[i] = at(this.scaled, place);
    }
    this.#count = places.length;
  }
}
