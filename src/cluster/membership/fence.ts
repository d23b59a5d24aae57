/** Keeps out messages of the past: whoever saw a newer epoch takes nothing of an older one. */
export class Fence {
  #newest = 0;

  get newest(): number {
    return this.#newest;
  }

  /** Whether a message of this epoch may be taken; from then on none of an older one is. */
  admit(epoch: number): boolean {
    if (!Number.isSafeInteger(epoch) || epoch < this.#newest) return false;
    this.#newest = epoch;
    return true;
  }
}
