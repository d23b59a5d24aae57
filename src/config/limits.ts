/** Bounds and defaults of options. Those of the engine repeat the engine's own, which a test compares. */

/** Sequences that run together. */
export const MAX_BATCH_DEFAULT = 16;
export const MAX_BATCH_MAX = 512;

/** Prompt tokens in a step: kernels gain nothing from more rows, and a step's buffers grow with them. */
export const PREFILL_CHUNK_MAX = 8192;

/** Positions: more than any published model was made for. */
export const CONTEXT_MAX: number = 1 << 24;

/** More threads than the largest machines have cores. */
export const THREADS_MAX = 1024;

/** Shards or stages: a model has hardly more segments or layers than this. */
export const DEGREE_MAX = 64;

/** Copies of KV pages: as many as a cache of the usual size has. */
export const RANKS_COPY_BYTES_DEFAULT: number = 1024 * 1024 * 1024;

export const PORT_DEFAULT = 8080;
export const PORT_MAX = 65_535;

/** Tokens that `run` draws unless told otherwise: a few paragraphs. */
export const RUN_TOKENS_DEFAULT = 256;

/** A configuration file, and one text in it. */
export const CONFIG_BYTES_MAX: number = 1024 * 1024;
export const TEXT_LENGTH_MAX = 4096;

/** Faults of a configuration that are named; nobody mends more at once. */
export const FAULTS_MAX = 20;

/** API keys: more than anyone hands out by hand. */
export const KEYS_MAX = 1024;

/** Priorities of requests lie between this and its negative. */
export const PRIORITY_MAX = 1000;

/** Seconds that a request may take in all: the longest answers of slow machines end before. */
export const REQUEST_TIMEOUT_DEFAULT = 3600;
export const REQUEST_TIMEOUT_MAX = 86_400;

/** Seconds that running requests get when the server is told to stop. */
export const SHUTDOWN_GRACE_DEFAULT = 10;
export const SHUTDOWN_GRACE_MAX = 3600;

/** Answers that may wait for a place to run. */
export const QUEUE_DEFAULT = 1024;
export const QUEUE_MAX = 1024;

/** Rules of whose seals are taken. */
export const RULES_MAX = 256;

/** Weights compared each second: a gigabyte in half a minute, for a few thousandths of a core. */
export const SCRUB_BYTES_DEFAULT: number = 32 * 1024 * 1024;
export const SCRUB_BYTES_MAX: number = 1024 * 1024 * 1024;

/** Days that prompts and answers are kept: a hundred years. */
export const RETENTION_DAYS_MAX = 36_500;

/** Witnesses of a log: their signatures have to fit into a note, with those of the log. */
export const WITNESSES_MAX = 16;

/** Adapters of a server: each takes memory and a place in every step. */
export const ADAPTERS_MAX = 64;

/** Seconds that a stream waits for its client: a reconnect, or a train in a tunnel. */
export const LINGER_DEFAULT = 30;
export const LINGER_MAX = 3600;

/** Bytes of the events of streams: at least a short answer, by default some hundred thousand events. */
export const KEPT_BYTES_MIN: number = 64 * 1024;
export const KEPT_BYTES_DEFAULT: number = 64 * 1024 * 1024;
export const KEPT_BYTES_MAX: number = 64 * 1024 * 1024 * 1024;
