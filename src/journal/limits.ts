/** Bounds of the journal: nobody who writes to it makes a reader take more memory than this allows. */

/** Of a stored record, what seals it included: NATS takes messages of a megabyte unless told otherwise. */
export const RECORD_BYTES_MAX: number = 512 * 1024;

/** Of an opening in UTF-8: a request's body has at most 16 MiB, and its tokens are spelled in digits. */
export const OPENING_BYTES_MAX: number = 32 * 1024 * 1024;

/** Records of one opening. */
export const OPENING_PARTS_MAX = 128;

/** Tokens of one record: with 20 alternatives each they take some 300 KB. */
export const BATCH_TOKENS_MAX = 256;

/** Answers of a stream, and alternatives to a token: what requests may ask for. */
export const CHOICES_MAX = 128;
export const ALTERNATIVES_MAX = 20;

/** Streams that are taken over: more than run and wait in any server. */
export const STREAMS_MAX = 4096;

/** Letters of a stream's id. */
export const ID_CHARS_MAX = 128;
