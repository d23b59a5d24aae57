/**
 * Copies of KV pages outside of what computes, by what they were computed from. With exact inference a page's content follows from
 * the model and the tokens up to its end, so a copy is as good as the page, whoever made it and whatever wants it.
 */

/** Here, or on another node: what is asked for may be on its way, and what was put may be gone. */
export interface PageStore {
  /** Whether a page is kept under this key, as far as is known here. */
  has(key: string): boolean;
  /** Keeps a page; its bytes are the store's from now on. */
  put(key: string, bytes: Uint8Array): void;
  /** A page that nobody will ask for any more. */
  drop(key: string): void;
  /** The pages under these keys; undefined where there is none. */
  find(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
}

/** In this process's memory, up to a number of bytes; those put or found longest ago go first. */
export class MemoryPageStore implements PageStore {
  readonly #bytesMax: number;
  readonly #onForgotten: () => void;
  /** In order of use. */
  readonly #pages = new Map<string, Uint8Array>();
  #bytes = 0;

  /** `onForgotten` is told of every page that had to give way. */
  constructor(bytesMax: number, onForgotten: () => void = () => {}) {
    this.#bytesMax = bytesMax;
    this.#onForgotten = onForgotten;
  }

  /** Kept bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  has(key: string): boolean {
    return this.#used(key) !== undefined;
  }

  put(key: string, bytes: Uint8Array): void {
    this.drop(key);
    if (bytes.byteLength > this.#bytesMax) return;
    this.#pages.set(key, bytes);
    this.#bytes += bytes.byteLength;
    for (const [oldest] of this.#pages) {
      if (this.#bytes <= this.#bytesMax) return;
      this.drop(oldest);
      this.#onForgotten();
    }
  }

  drop(key: string): void {
    this.#bytes -= this.#pages.get(key)?.byteLength ?? 0;
    this.#pages.delete(key);
  }

  async find(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return keys.map((key) => this.#used(key));
  }

  #used(key: string): Uint8Array | undefined {
    const bytes = this.#pages.get(key);
    if (bytes === undefined) return undefined;
    this.#pages.delete(key);
    this.#pages.set(key, bytes);
    return bytes;
  }
}
