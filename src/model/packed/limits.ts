/** Bounds of the cache of packed weights. */

/** An index is some hundred bytes for each matrix; the largest models have some ten thousand. */
export const INDEX_BYTES_MAX: number = 64 * 1024 * 1024;

/** Places of a model file that are looked at to tell whether it is still the same one, and the bytes of each. */
export const SAMPLES = 64;
export const SAMPLE_BYTES = 4096;

/** Read, hashed or written at once: a millisecond's work, so that steps of a running engine wait no longer. */
export const PIECE_BYTES: number = 1024 * 1024;

/** The cache at most, where nothing was said: half a dozen models of usual sizes. */
export const CACHE_BYTES_DEFAULT: number = 64 * 2 ** 30;

/** The share of the free disk that the cache takes at most, where nothing was said. */
export const FREE_SHARE = 0.5;

/** A file that was begun and not touched for this long was left by a process that is gone. */
export const UNFINISHED_MS: number = 60 * 60 * 1000;
