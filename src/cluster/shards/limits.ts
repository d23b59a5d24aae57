/** Bounds of the cluster; each keeps one rank from taking what others need. */

/** Far more ranks than any placement has: every layer in a stage of its own, split into every segment. */
export const RANKS_MAX = 65_536;

/** Rows of a micro-batch unless told otherwise: with fewer, a stage reads its weights for too little work. */
export const MICRO_BATCH_ROWS = 64;

/** Micro-batches at most: with four for each stage, the stages work for at least four fifths of the time that a step takes. */
export const MICRO_BATCHES_PER_STAGE = 4;

/** What a rank may say of an error, or of itself when it is ready. */
export const REPORT_BYTES_MAX: number = 64 * 1024;

/** What a rank may be told about its placement: every range of every rank of the largest there can be. */
export const TASK_BYTES_MAX: number = 4 * 1024 * 1024;

/** What a rank's process may be told on its standard input, and what it may say of itself when it joins. */
export const TERMS_BYTES_MAX: number = 16 * 1024;
export const HELLO_BYTES_MAX: number = 16 * 1024;

/** How long a message of a handshake between ranks may take: machines where several start at once are slow. */
export const HANDSHAKE_MS = 30_000;

/** How long ranks may take to start and find each other; loading is not counted. */
export const JOIN_MS = 60_000;

/** How long a rank that was told to end may take until it is killed. */
export const END_MS = 30_000;
