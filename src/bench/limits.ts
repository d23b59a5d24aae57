/** What is measured unless told otherwise, and bounds that keep a measurement short. */

/** Rounds whose median counts, ours and the peer's by turns. */
export const ROUNDS_DEFAULT = 5;

/** Sequences that `batch` decodes together. */
export const BATCH_DEFAULT = 16;

/** Positions in the KV cache when decoding is measured at a small context, the measured ones included. */
export const CONTEXT_SMALL = 96;

/** Positions at which attention matters. */
export const CONTEXT_LONG = 8192;

/** Tokens of the prompt that `prefill` reads. */
export const PROMPT_DEFAULT = 512;

/** Tokens of each sequence that a round decodes: some tenths of a second for a model of a billion parameters. */
export const DECODE_STEPS = 16;

/** The same where a step takes longer: with many sequences, or far into a context. */
export const DECODE_STEPS_LONG = 4;

/** Rows of a step that prefill tries, as far as the prompt has them. */
export const PREFILL_ROWS: readonly number[] = [256, 512, 1024];

/** Batches at which `kernels` measures each matrix. */
export const KERNEL_BATCHES: readonly number[] = [1, 4, 16, 512];

/** From this many rows on a product is bound by arithmetic, and need not find its weights outside the caches. */
export const LARGE_BATCH = 64;
/** Products in a tape for such a batch. */
export const LARGE_BATCH_COPIES = 4;

/** Weights that a tape reads, in last-level caches, so that each product finds its own in memory. */
export const COLD_CACHES = 4;
/** Copies of a matrix at most; small models' stay in the caches all the same. */
export const COPIES_MAX = 64;
/** The last-level cache where the system does not say. */
export const CACHE_BYTES_UNKNOWN: number = 32 * 1024 * 1024;

/** A round repeats products for about this long. */
export const PRODUCT_SECONDS = 0.005;

/** Steps of the model without work in a round. */
export const OVERHEAD_STEPS = 200;

/** Rows that a step of KV_WRITE fills. */
export const FILL_ROWS = 256;

/** Of the model by which a node is measured: layers, and positions at which its attention is. */
export const NODE_LAYERS = 2;
export const NODE_CONTEXT = 2048;
