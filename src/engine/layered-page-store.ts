/**
 * Copies of KV pages in two places: at hand for when what computes is lost, and where another server finds them when this one is.
 * Reading and checking files takes longer than bringing their pages to a new runtime.
 */

import type { PageStore } from "./page-store.ts";

export class LayeredPageStore implements PageStore {
  readonly #near: PageStore;
  readonly #far: PageStore;

  /** Everything is put into both; `far` is asked for what `near` does not have. */
  constructor(near: PageStore, far: PageStore) {
    this.#near = near;
    this.#far = far;
  }

  has(key: string): boolean {
    // Both are asked: what is used in one place is not to give way in the other.
    const near = this.#near.has(key);
    return this.#far.has(key) && near;
  }

  put(key: string, bytes: Uint8Array): void {
    this.#near.put(key, bytes);
    this.#far.put(key, bytes);
  }

  drop(key: string): void {
    this.#near.drop(key);
    this.#far.drop(key);
  }

  async find(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const near = await this.#near.find(keys);
    const missing = keys.filter((_, i) => near[i] === undefined);
    if (missing.length === 0) return near;
    const far = [...(await this.#far.find(missing))];
    for (const [i, key] of missing.entries()) {
      const bytes = far[i];
      if (bytes !== undefined) this.#near.put(key, bytes);
    }
    return near.map((bytes) => bytes ?? far.shift());
  }
}
