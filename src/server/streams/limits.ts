/** Bounds of streams that outlive their connections. */

/** What an event takes beside its letters. */
export const EVENT_OVERHEAD_BYTES = 64;
