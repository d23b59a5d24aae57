/** A binary heap of numbers, smallest first. */
export class MinimumHeap {
  readonly #keys: number[] = [];

  push(key: number): void {
    const keys = this.#keys;
    let slot = keys.length;
    keys.push(key);
    while (slot > 0) {
      const parent = (slot - 1) >>> 1;
      const above = keys[parent]!;
      if (above <= key) break;
      keys[slot] = above;
      slot = parent;
    }
    keys[slot] = key;
  }

  /** Takes the smallest key out; `undefined` when none is left. */
  pop(): number | undefined {
    const keys = this.#keys;
    const top = keys[0];
    const last = keys.pop();
    if (last !== undefined && keys.length > 0) this.#sink(last);
    return top;
  }

  /** Puts `key` where it belongs below the vacant top. */
  #sink(key: number): void {
    const keys = this.#keys;
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= keys.length) break;
      if (child + 1 < keys.length && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[slot] = keys[child]!;
      slot = child;
    }
    keys[slot] = key;
  }
}
