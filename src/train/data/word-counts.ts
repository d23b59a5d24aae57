/** How often each word of a corpus occurs: all that training a tokenizer needs to know of it. */

import { ClawError } from "../../base/mod.ts";
import { cutWords, type PreTokenizer } from "../../model/mod.ts";
import { DISTINCT_WORDS_MAX } from "./limits.ts";

/** V8 lets a cut of at least this length point into the text it was cut from, which would keep all of it alive. */
const SLICED_LENGTH_MIN = 13;

export class WordCounts {
  readonly #preTokenizer: PreTokenizer;
  readonly #counts = new Map<string, number>();

  constructor(preTokenizer: PreTokenizer) {
    this.#preTokenizer = preTokenizer;
  }

  /** Distinct words. */
  get size(): number {
    return this.#counts.size;
  }

  /** Counts the words of a document. Errors: E_CORPUS. */
  add(document: string): void {
    const counts = this.#counts;
    for (const word of cutWords(document.toWellFormed(), this.#preTokenizer)) {
      const count = counts.get(word);
      if (count !== undefined) counts.set(word, count + 1);
      else counts.set(word.length < SLICED_LENGTH_MIN ? word : copied(word), 1);
    }
    if (counts.size <= DISTINCT_WORDS_MAX) return;
    throw new ClawError("E_CORPUS", `The corpus has more than ${DISTINCT_WORDS_MAX} distinct words.`);
  }

  entries(): Iterable<readonly [word: string, count: number]> {
    return this.#counts.entries();
  }
}

function copied(word: string): string {
  return Buffer.from(word, "utf8").toString("utf8");
}
