/** Bounds of what is trained. */

/** Above it the offsets of parameters would not fit the kernels' 32 bits. */
export const PARAMETERS_MAX: number = 2 ** 30;
export const BATCH_MAX = 4096;
/** Each lane has a gradient of its own in memory. */
export const LANES_MAX = 64;
export const CONTEXT_MAX = 8192;
/** Steps of one run. */
export const STEPS_MAX: number = 2 ** 31;
/** Tokens a preview writes. */
export const PREVIEW_TOKENS_MAX = 1024;
