/** What the files of an adapter may claim: far above any adapter known, far below what would hurt the reader. */

/** Real headers have a line for each tensor: a few hundred kilobytes for the deepest models. */
export const HEADER_BYTES_MAX: number = 8 * 2 ** 20;
/** Two for each adapted matrix of each layer. */
export const TENSORS_MAX: number = 65_536;
/** PEFT's configurations have a few kilobytes. */
export const CONFIG_BYTES_MAX: number = 2 ** 20;
/** Above it, products would hardly stay finite. */
export const ALPHA_MAX = 65_536;
/** Values of an adapter's matrices in all: two gigabytes. */
export const VALUES_MAX: number = 2 ** 29;
