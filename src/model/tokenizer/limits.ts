/**
 * Bounds on what a file may claim about its vocabulary, so that a hostile one costs little before it is
 * refused.
 */

/** The largest published vocabularies hold 256 Ki tokens; four times that leaves room for growth. */
export const tokensMax: number = 1 << 20;

/**
 * Published byte-level vocabularies list up to 500,000 merges; the bound keeps heap keys exact (see
 * merging.ts).
 */
export const mergesMax: number = 1 << 22;

/** In UTF-16 units. The longest published spellings are runs of 256; longer ones only make lookups slow. */
export const spellingLengthMax = 4096;

/** Words longer than this are rare and rarely repeat, so remembering them wastes memory. In UTF-16 units. */
export const cachedWordLengthMax = 48;

/** Distinct words remembered before the cache is emptied: a few megabytes at most. */
export const cachedWordsMax: number = 1 << 15;
