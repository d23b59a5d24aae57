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
/** Of distillation: logits divided by it stay far from what f32 holds. */
export const TEMPERATURE_MIN = 0.05;
export const TEMPERATURE_MAX = 20;
/** The TypeScript reference reads some hundred tokens a second with as many. */
export const REFERENCE_PARAMETERS_MAX: number = 2 ** 20;
/** Seconds of computing between two checkpoints, unless told otherwise. */
export const CHECKPOINT_SECONDS_DEFAULT = 120;
/** A moment in bf16 moves by at least a unit of its last place, 2^-8 of it, where its decay takes more than half of one. */
export const BF16_BETA_MAX = 0.99;
