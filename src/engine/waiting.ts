/** Requests without a place in the batch, new or preempted, and which of them goes next. */

import type { Sequence } from "./sequence.ts";
import type { Tenants } from "./tenants.ts";

export class WaitingRequests {
  readonly #tenants: Tenants;
  readonly #sequences: Sequence[] = [];

  constructor(tenants: Tenants) {
    this.#tenants = tenants;
  }

  get count(): number {
    return this.#sequences.length;
  }

  [Symbol.iterator](): Iterator<Sequence> {
    return this.#sequences.values();
  }

  add(sequence: Sequence): void {
    this.#sequences.push(sequence);
  }

  /** Takes it out; whether it was here. */
  remove(sequence: Sequence): boolean {
    const index = this.#sequences.indexOf(sequence);
    if (index >= 0) this.#sequences.splice(index, 1);
    return index >= 0;
  }

  /** By priority, then the tenant served least, then who came first. */
  next(): Sequence | undefined {
    let best: Sequence | undefined;
    let bestServed = 0;
    for (const sequence of this.#sequences) {
      const served = this.#tenants.served(sequence.tenant);
      if (best === undefined || isBefore(sequence, best, served - bestServed)) {
        best = sequence;
        bestServed = served;
      }
    }
    return best;
  }
}

function isBefore(a: Sequence, b: Sequence, servedMore: number): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return servedMore === 0 ? a.id < b.id : servedMore < 0;
}
