/** Bounds of the journal on NATS. */

/** Nothing is of use longer: a request takes at most a day, and its stream lingers at most an hour. */
export const JOURNAL_AGE_MS: number = 25 * 3_600_000;

/** Of all records: some million tokens with their alternatives, or a thousand long prompts. */
export const JOURNAL_BYTES_MAX: number = 256 * 1024 * 1024;

/** Records: each takes memory in the server, however small. */
export const JOURNAL_RECORDS_MAX = 500_000;
