/** Largest shapes accepted: each well above any published model, and low enough that no product of them overflows. */

export const LAYERS_MAX: number = 1024;
export const WIDTH_MAX: number = 1 << 17;
export const FFN_WIDTH_MAX: number = 1 << 19;
export const HEADS_MAX: number = 1024;
/** The attention kernels keep a head's output in registers and a fixed scratch. */
export const HEAD_DIM_MAX: number = 512;
export const VOCABULARY_MAX: number = 1 << 21;
/** Scaling stretches positions by at most a few hundred; tiny divisors would lose the angle's precision. */
export const ROPE_DIVISOR_MIN: number = 2 ** -10;
export const ROPE_DIVISOR_MAX: number = 2 ** 20;
/** Published models use 10,000 to some ten million. */
export const ROPE_BASE_MIN: number = 1;
export const ROPE_BASE_MAX: number = 1e12;
export const CONTEXT_MAX: number = 1 << 24;
