/**
 * Bounds on what a chat template may cost. It comes with the model, so it is trusted to end, but not to be
 * small.
 */

/** In UTF-16 units. The longest published templates are some 20,000. */
export const templateLengthMax: number = 1 << 18;

/** In UTF-16 units: 16 Mi, beyond any context a model here can hold. */
export const renderedLengthMax: number = 1 << 24;

/**
 * Numbers that all `range()` calls of one rendering may make together; a loop over messages needs a few
 * hundred.
 */
export const rangeNumbersMax: number = 1 << 16;
