/** Bounds of the ledger, each with its reason. */

/** Bytes of an entry: its length stands in 16 bits in an entry bundle (C2SP tlog-tiles). */
export const ENTRY_BYTES_MAX = 65_535;

/** Hashes in a full tile, entries in a full bundle: fixed by C2SP tlog-tiles. */
export const TILE_WIDTH = 256;

/** Entries that wait for their place at most; beyond it the ledger is too slow for its clients and says so. */
export const PENDING_MAX = 65_536;

/** Entries of one commit at most, so that a burst delays its first entry by one bounded write. */
export const BATCH_ENTRIES_MAX = 4096;

/** Bytes of one commit at most, for the same reason. */
export const BATCH_BYTES_MAX: number = 8 * 1024 * 1024;

/** A journal file is closed beyond this size; it can be removed as soon as all its entries are published. */
export const JOURNAL_FILE_BYTES: number = 16 * 1024 * 1024;

/** Levels of tiles at most: eight bits of the tree's height each, and sizes stay below 2^53. */
export const TILE_LEVELS_MAX = 7;

/** Entries that the index takes in at once: some milliseconds, in which nothing else runs. */
export const INDEX_BATCH = 1024;

/** Entries that a search in the index finds at most. */
export const INDEX_ANSWER_MAX = 10_000;

/** Bytes of a witness's request: a note of the largest size allowed, and 63 hashes. */
export const WITNESS_BODY_BYTES_MAX: number = 260 * 1024;

/** A witness's request is sent within this time, in milliseconds, or its connection goes. */
export const WITNESS_REQUEST_MS = 10_000;

/** Connections to a witness at once; a log needs one. */
export const WITNESS_CONNECTIONS_MAX = 256;

/** A witness that has not answered within this time, in milliseconds, is given up for this once. */
export const WITNESS_CALL_MS = 10_000;

/** Bytes of a witness's answer looked at; a cosignature line is a few thousand. */
export const WITNESS_ANSWER_BYTES_MAX = 65_536;

/** Connections to a PostgreSQL that hold a log: one appends, one publishes, one reads for whoever asks. */
export const POSTGRES_CONNECTIONS_MAX = 3;

/** Milliseconds until a PostgreSQL that does not answer is given up. */
export const POSTGRES_CONNECT_MS = 10_000;

/** Milliseconds until a statement is given up: a server that hangs is one that failed. */
export const POSTGRES_QUERY_MS = 30_000;

/** Entries that are read of PostgreSQL at once. */
export const REPLAY_ENTRIES = 1024;

/** How often a log is read whose server removes meanwhile what was being read. */
export const READ_TRIES_MAX = 5;
