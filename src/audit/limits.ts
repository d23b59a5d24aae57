/** Bounds of what is recorded, each with its reason. */

/** Tokens between two progress entries: a stream that was cut off is covered up to the last of them. */
export const PROGRESS_TOKENS = 32;

/** Tokens that may be delivered beyond the last durable entry of their stream: two stretches, so that one may be on its way. */
export const UNCOVERED_TOKENS_MAX = 64;

/** Between two checkpoints; a receipt that needs one sooner makes it. */
export const PUBLISH_INTERVAL_MS = 1000;

/** A clock that differs by more than this, in milliseconds, was set; less is how clocks run. */
export const DRIFT_MS = 1000;

/** Between two looks for records that have had their time. */
export const RETENTION_INTERVAL_MS: number = 3_600_000;

/** Between two tries to open a log again that could not be written to. */
export const REOPEN_INTERVAL_MS = 1000;

/** Before a witness that failed is asked again; doubled each time it fails once more, up to a minute. */
export const WITNESS_PAUSE_MS = 1000;
export const WITNESS_PAUSE_MS_MAX = 60_000;

/** Bytes of a vault's file: the tokens of a long context, as JSON. */
export const VAULT_BYTES_MAX: number = 16 * 1024 * 1024;

/** Entries that a stream's open entry is looked for in, before one of its later ones. */
export const STREAM_REACH_MAX: number = 4 * 1024 * 1024;

/** Entries that `audit range` looks at in all. */
export const RANGE_MAX: number = 4 * 1024 * 1024;
