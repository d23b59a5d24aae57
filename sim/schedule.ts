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

  /** Milliseconds since the beginning. */
  get now(): number {
    return this.#now;
  }

  after(milliseconds: number, run: () => void): void {
    this.#heap.push({ at: this.#now + milliseconds, order: this.#planned++, run });
    this.#rise(this.#heap.length - 1);
  }

  /** Runs everything until then; `between` after each. */
  runUntil(end: number, between: () => void): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#takeFirst();
      this.#now = next.at;
      next.run();
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
