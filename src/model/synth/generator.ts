/** A small generator of pseudo-random words: Chris Doty-Humphrey's sfc32 (PractRand). */

const WORD = 2 ** 32;
/** Rounds that mix a new state before its first word is used. */
const WARM_UP = 12;

export class Generator {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** Streams of one seed are independent. `seed` is a whole number from 0 to 2^53 - 1, `stream` a word. */
  constructor(seed: number, stream: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / WORD) | 0;
    this.#c = stream | 0;
    for (let i = 0; i < WARM_UP; i++) this.word();
  }

  /** The next 32 bits, as an unsigned number. */
  word(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.word() / WORD;
  }

  /** Uniform in 0 .. `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /**
   * About normal, mean 0, variance 1: twelve uniform numbers (two of 16 bits per word) less 6. The tails end at 6
   * standard deviations, which weights do not miss.
   */
  gaussian(): number {
    let sum = 0;
    for (let i = 0; i < 6; i++) {
      const word = this.word();
      sum += (word & 0xffff) + (word >>> 16);
    }
    // Each of the twelve is half a step low on average.
    return (sum + 6) / 65_536 - 6;
  }
}
