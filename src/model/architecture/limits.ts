/** Largest shapes accepted: each well above any published model, and low enough that no product of them overflows. */

export const LAYERS_MAX: number = 1024;
export const WIDTH_MAX: number = 1 << 17;
export const FFN_WIDTH_MAX: number = 1 << 19;
export const HEADS_MAX: number = 1024;
/** The attention kernels keep a head's output in registers and a fixed scratch. */
export const HEAD_DIM_MAX: number = 512;
export const VOCABULARY_MAX: number = 1 << 21;
export const CONTEXT_MAX: number = 1 << 24;
