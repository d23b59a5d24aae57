/** Bounds and defaults of options. Those of the engine repeat the engine's own, which a test compares. */

/** Sequences that run together. */
export const MAX_BATCH_DEFAULT = 16;
export const MAX_BATCH_MAX = 512;

/** Positions: more than any published model was made for. */
export const CONTEXT_MAX: number = 1 << 24;

/** More threads than the largest machines have cores. */
export const THREADS_MAX = 1024;

/** Shards of one process: a model has no more segments than this. */
export const DEGREE_MAX = 64;

export const PORT_DEFAULT = 8080;
export const PORT_MAX = 65_535;

/** Tokens that `run` draws unless told otherwise: a few paragraphs. */
export const RUN_TOKENS_DEFAULT = 256;
