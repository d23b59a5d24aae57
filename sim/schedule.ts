/** Simulated time: what is to happen, in order; what happens at the same time, in the order in which it was planned. */

interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Schedule {
  readonly #heap: Due[] = [];
  #now = 0;
  #planned = 0;
  #stirred = false;

  /** Milliseconds since the beginning. */
  get now(): number {
    return this.#now;
  }

  after(milliseconds: number, run: () => void): void {
    this.#heap.push({ at: this.#now + milliseconds, order: this.#planned++, run });
    this.#rise(this.#heap.length - 1);
  }

  /** Says that promises may have been settled: before anything else happens, all that follows from them does. */
  stir(): void {
    this.#stirred = true;
  }

  /** Runs everything until then; `between` after each. */
  async runUntil(end: number, between: () => void): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#takeFirst();
      this.#now = next.at;
      next.run();
      if (this.#stirred) await quiet();
      this.#stirred = false;
      between();
    }
    this.#now = end;
  }

  #takeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink();
  }

  #rise(from: number): void {
    for (let index = from; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (!this.#swapIfLater(parent, index)) return;
      index = parent;
    }
  }

  #sink(): void {
    for (let index = 0; ; ) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      const child = right < this.#heap.length && this.#later(left, right) ? right : left;
      if (child >= this.#heap.length || !this.#swapIfLater(index, child)) return;
      index = child;
    }
  }

  #later(a: number, b: number): boolean {
    const [first, second] = [this.#heap[a]!, this.#heap[b]!];
    return first.at > second.at || (first.at === second.at && first.order > second.order);
  }

  #swapIfLater(a: number, b: number): boolean {
    if (!this.#later(a, b)) return false;
    [this.#heap[a], this.#heap[b]] = [this.#heap[b]!, this.#heap[a]!];
    return true;
  }
}

/** Resolves when no microtask is left: what is put after them here comes in no time that counts. */
function quiet(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
