/** Bounds of streams that outlive their connections. */

/** What an event takes beside its letters. */
export const EVENT_OVERHEAD_BYTES = 64;

/** How long tokens are gathered for the journal: what is lost with a server is computed again in as little time. */
export const FLUSH_MS = 40;

/** After a write that failed. */
export const RETRY_MS = 500;

/** Tokens of one write. */
export const BATCH_TOKENS = 256;
