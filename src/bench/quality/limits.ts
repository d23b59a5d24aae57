/** What is measured unless told otherwise. */

/** Factors of outlier channels: as mild and as strong as those of trained models. */
export const FACTORS_DEFAULT: readonly number[] = [16, 64];

/** Models whose median counts. */
export const SEEDS_DEFAULT = 3;

/** Layers of the models: enough for errors to pass through some, few enough for a minute. */
export const LAYERS_DEFAULT = 4;

/** Positions at which distributions are compared. */
export const DIVERGENCE_TOKENS = 96;

/** Positions whose logits are computed together. */
export const QUALITY_OUTPUTS = 64;

/** Tokens in a window of a perplexity where the model has that much context. */
export const PERPLEXITY_WINDOW = 256;

/** Tokens of a prompt whose continuation shows what speculation meets, and of that continuation. */
export const PROMPT_TOKENS = 64;
export const CONTINUATION_TOKENS = 128;
