/**
 * What a GGUF file may claim. Each limit is far above any model known and far below what would hurt the reader; a
 * count is also checked against the bytes that remain in the file before anything is sized by it.
 */

/** Mixture models split into one tensor per expert have a few thousand. */
export const TENSORS_MAX: number = 65_536;
/** Published models have 20 to 60 metadata pairs. */
export const METADATA_PAIRS_MAX: number = 65_536;
/** The specification's limit on a key's length. */
export const KEY_BYTES_MAX: number = 65_535;
/** The specification says 64; some converters write longer names. */
export const TENSOR_NAME_BYTES_MAX: number = 256;
/** Keys and tensor names together: bounds what the two counts above could add up to. */
export const NAME_BYTES_TOTAL_MAX: number = 8 * 2 ** 20;
/** The longest real strings are tokenizer definitions embedded whole, some ten megabytes. */
export const STRING_BYTES_MAX: number = 32 * 2 ** 20;
/** The longest real arrays are merge lists, about half a million entries. */
export const ARRAY_LENGTH_MAX: number = 2 * 2 ** 20;
/** The metadata of the largest vocabularies take some 20 MB; bounds what the limits above could add up to. */
export const METADATA_BYTES_TOTAL_MAX: number = 64 * 2 ** 20;
/** ggml's GGML_MAX_DIMS. */
export const DIMENSIONS_MAX: number = 4;
/** Files aligned for direct device access use up to 64 KiB. */
export const ALIGNMENT_MAX: number = 2 ** 20;
/** The specification wants a multiple of 8, and a power of two satisfies it from 8 on. */
export const ALIGNMENT_MIN: number = 8;
/** The specification's alignment where the file names none. */
export const ALIGNMENT_DEFAULT: number = 32;
/** How much of the header is read at a time: a vocabulary of 8 MB takes eight reads. */
export const WINDOW_BYTES: number = 2 ** 20;
/** Node reads at most 2 GiB in one call. */
export const READ_BYTES_MAX: number = 2 ** 30;
