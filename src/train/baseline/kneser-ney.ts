/**
 * A byte-level 5-gram model, as a measure of what a trained model has learned beyond short habits of letters: interpolated
 * Kneser-Ney with one absolute discount per order. Sources: Kneser and Ney, 1995; Chen and Goodman, 1998, section 4.1.6.
 *
 * The highest order counts how often a run occurs. Each lower one counts in how many ways a run is continued to the left, so all
 * of them follow from the distinct runs of five.
 */

import { assert, at } from "../../base/mod.ts";
import { GramTable } from "./gram-table.ts";

const ORDER = 5;
const ALPHABET = 256;
/** Where counts of one or of two are missing, as in tiny texts, the discount has no estimate. */
const DISCOUNT_OTHERWISE = 0.5;
/** The four bytes before a document's first one: zeros, which text does not hold. */
const START_CONTEXT = 0;

/** The n-grams of one order. */
interface Level {
  readonly discount: number;
  /** Per run of n bytes: its count. */
  readonly runs: GramTable;
  /** Per run of n - 1 bytes: the sum of the counts of the runs it begins, and how many there are. */
  readonly totals: GramTable;
  readonly kinds: GramTable;
}

export class ByteGrams {
  /** From order 1 on. */
  readonly #levels: readonly Level[];

  /** Counts the runs of all documents. */
  constructor(documents: Iterable<Uint8Array>) {
    let runs = new GramTable();
    for (const document of documents) {
      let low = START_CONTEXT;
      for (const byte of document) {
        // The run of five that ends with this byte: the byte before the last four is shifted out of `low`.
        runs.add(low >>> 24, ((low << 8) | byte) >>> 0, 1);
        low = ((low << 8) | byte) >>> 0;
      }
    }
    const levels = [makeLevel(runs, ORDER)];
    for (let order = ORDER - 1; order >= 1; order--) {
      runs = continuations(runs, order);
      levels.unshift(makeLevel(runs, order));
    }
    this.#levels = levels;
  }

  /** The negative logarithm of a document's probability, in nats. */
  negativeLogLikelihood(document: Uint8Array): number {
    let low = START_CONTEXT;
    let sum = 0;
    for (const byte of document) {
      sum -= Math.log(this.#probability(low, byte));
      low = ((low << 8) | byte) >>> 0;
    }
    return sum;
  }

  /** The probability of each byte after a context of at least four bytes; they add up to 1. */
  distribution(context: Uint8Array): Float64Array {
    assert(context.length >= ORDER - 1, "The context should be that of the highest order.");
    let low = 0;
    for (const byte of context) low = ((low << 8) | byte) >>> 0;
    return Float64Array.from({ length: ALPHABET }, (_, byte) => this.#probability(low, byte));
  }

  /** `low`: the four bytes before, the last one lowest. */
  #probability(low: number, byte: number): number {
    let probability = 1 / ALPHABET;
    const shifted = ((low << 8) | byte) >>> 0;
    for (let order = 1; order <= ORDER; order++) {
      const { discount, runs, totals, kinds } = at(this.#levels, order - 1);
      const context = lastBytes(low, order - 1);
      const total = totals.count(0, context);
      if (total === 0) break; // nothing is known of longer contexts either
      const count = runs.count(order === ORDER ? low >>> 24 : 0, lastBytes(shifted, order));
      const spared = (discount * kinds.count(0, context)) / total;
      probability = Math.max(count - discount, 0) / total + spared * probability;
    }
    return probability;
  }
}

/** The last bytes of a run of four. */
function lastBytes(low: number, count: number): number {
  return count >= 4 ? low : (low & ((1 << (8 * count)) - 1)) >>> 0;
}

/** Per run of `order` bytes, how many runs one byte longer end with it. */
function continuations(longer: GramTable, order: number): GramTable {
  const runs = new GramTable();
  longer.forEach((_, low) => {
    runs.add(0, lastBytes(low, order), 1);
  });
  return runs;
}

function makeLevel(runs: GramTable, order: number): Level {
  const [totals, kinds] = [new GramTable(), new GramTable()];
  let [once, twice] = [0, 0];
  runs.forEach((high, low, count) => {
    const context = order === ORDER ? ((high << 24) | (low >>> 8)) >>> 0 : low >>> 8;
    totals.add(0, context, count);
    kinds.add(0, context, 1);
    if (count === 1) once++;
    if (count === 2) twice++;
  });
  const discount = once > 0 && twice > 0 ? once / (once + 2 * twice) : DISCOUNT_OTHERWISE;
  return { discount, runs, totals, kinds };
}
