/**
 * Tokens on their way from the engine's thread to the one that serves, in shared memory: one side writes, the other
 * reads, and a message is needed only to wake a reader that has read everything.
 */

import { assert, at } from "../base/mod.ts";
import type { FinishReason } from "./request.ts";

/** Tokens in flight; more than a reader is behind in any second. */
const CAPACITY = 1 << 14;

/** Counts of entries ever written and read (modulo 2^32), and whether the reader sleeps. */
const WRITTEN = 0;
const READ = 1;
const ASLEEP = 2;
const HEADER = 3;

/** An entry: request, token, and how the request ended. */
const ENTRY = 3;

const FINISHES: readonly (FinishReason | undefined)[] = [undefined, "stop", "length"];

export type TokenVisitor = (id: number, token: number, finish: FinishReason | undefined) => void;

export class TokenRing {
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Int32Array;
  readonly #capacity: number;

  /** A new ring whose reader sleeps, or the other side of one that there is. */
  constructor(memory?: SharedArrayBuffer, capacity: number = CAPACITY) {
    this.memory = memory ?? new SharedArrayBuffer((HEADER + capacity * ENTRY) * Int32Array.BYTES_PER_ELEMENT);
    this.#numbers = new Int32Array(this.memory);
    this.#capacity = (this.#numbers.length - HEADER) / ENTRY;
    assert((this.#capacity & (this.#capacity - 1)) === 0, "A ring has a power of two of entries.");
    if (memory === undefined) this.#numbers[ASLEEP] = 1;
  }

  /** The writer adds a token; false when there is no room. */
  push(id: number, token: number, finish: FinishReason | undefined): boolean {
    const written = Atomics.load(this.#numbers, WRITTEN);
    if (((written - Atomics.load(this.#numbers, READ)) | 0) === this.#capacity) return false;
    const place = this.#place(written);
    this.#numbers[place] = id;
    this.#numbers[place + 1] = token;
    this.#numbers[place + 2] = FINISHES.indexOf(finish);
    Atomics.store(this.#numbers, WRITTEN, (written + 1) | 0);
    return true;
  }

  /** The writer asks, after what it has pushed, whether the reader sleeps and must be woken. True once for each sleep. */
  wakes(): boolean {
    return Atomics.exchange(this.#numbers, ASLEEP, 0) === 1;
  }

  /** The reader takes all there is, then sleeps. */
  drain(visit: TokenVisitor): void {
    const numbers = this.#numbers;
    let read = Atomics.load(numbers, READ);
    do {
      Atomics.store(numbers, ASLEEP, 0);
      while (read !== Atomics.load(numbers, WRITTEN)) {
        const place = this.#place(read);
        const [id, token] = [at(numbers, place), at(numbers, place + 1)];
        const finish = FINISHES[at(numbers, place + 2)];
        read = (read + 1) | 0;
        Atomics.store(numbers, READ, read);
        visit(id, token, finish);
      }
      Atomics.store(numbers, ASLEEP, 1);
      // What was written before the reader was seen asleep would otherwise lie there.
    } while (read !== Atomics.load(numbers, WRITTEN));
  }

  #place(count: number): number {
    return HEADER + (count & (this.#capacity - 1)) * ENTRY;
  }
}
