/** Bounds of what training reads, so that a wrong file costs little before it is refused. */

/** Bytes of a corpus that are read at a time. */
export const CHUNK_BYTES: number = 1 << 22;

/** UTF-16 units in a document: far above the longest book, far below the longest string. */
export const DOCUMENT_LENGTH_MAX: number = 1 << 26;

/** Distinct words whose counts are held while a tokenizer is trained: the most that a Map can hold is 2^24. */
export const DISTINCT_WORDS_MAX: number = 1 << 23;

/** Tokens are stored as 16 bits. */
export const VOCABULARY_MAX: number = 1 << 16;

/** Every byte, the end of text, and at least one merge. */
export const VOCABULARY_MIN = 258;

/** Documents whose places a dataset's index lists: an index of some 60 MB. */
export const DOCUMENTS_MAX: number = 1 << 22;

/** A dataset's index beyond this was not written here. */
export const INDEX_BYTES_MAX: number = 1 << 27;
