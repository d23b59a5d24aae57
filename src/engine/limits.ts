/** Bounds of the engine; each keeps a request from taking what others need. */

/** Requests waiting for a place; beyond it a client is told to come back. */
export const QUEUE_MAX = 1024;

/** Sequences that run together unless told otherwise. */
export const BATCH_DEFAULT = 16;
export const BATCH_MAX = 512;

/** Sequences the buffers are made for, so that the batch can grow while the engine runs. */
export const BATCH_PREPARED = 64;

/** Tenants whose shares are remembered while they have no requests. */
export const TENANTS_MAX = 4096;

/** Weights compared at once: a tenth of a millisecond, which no step notices. */
export const SCRUB_BLOCK_BYTES: number = 1024 * 1024;

/** Token rows in one step: enough to feed the matrix kernels, short enough to keep decoding streams moving. */
export const STEP_ROWS_DEFAULT = 256;

/** Positions of context unless told otherwise, where the model has more. */
export const CONTEXT_DEFAULT = 8192;

/** Host memory that preempted sequences' pages may take; the system gives it only as it is used. */
export const SWAP_BYTES_DEFAULT: number = 1024 * 1024 * 1024;

/** Alternatives reported beside each token, as OpenAI's API allows. */
export const TOP_LOGPROBS_MAX = 20;

/** Stop tokens and logit-bias entries of one request. */
export const STOP_TOKENS_MAX = 64;
export const LOGIT_BIAS_MAX = 1024;

/** The model's own end tokens beside them: three that a file names, and as many as there are spellings of an end. */
export const END_TOKENS_MAX = 32;

/** KV cache unless told otherwise: as many sequences at full context as run together, but not beyond this. */
export const KV_BYTES_DEFAULT: number = 1024 * 1024 * 1024;

/** Starts of an engine's thread that ended by itself, one after the other, before that is taken for final. */
export const RESTARTS_MAX = 4;
/** Before the first of them; doubled for each further one. */
export const RESTART_DELAY_MS = 100;
/** A thread that lived so long has nothing to do with the ends before it. */
export const RESTART_FORGOTTEN_MS = 60_000;

/** Ends of the engine's thread that a request may live through: one that causes them must not go on for ever. */
export const REQUEST_RESTARTS_MAX = 2;

/** Steps in a row that may fail with a request in them before it runs alone: it may be why, and others are not to suffer. */
export const SHARED_FAILURES_MAX = 2;
/** And before it fails itself: one that causes it must not go on for ever. */
export const FAILED_STEPS_MAX = 4;

/** Attempts to open a runtime in place of one that was lost, before that is taken for final: half a minute of waiting. */
export const OPEN_ATTEMPTS_MAX = 12;
/** Before the second of them; doubled for each further one, up to the most. */
export const OPEN_DELAY_MS = 50;
export const OPEN_DELAY_MS_MAX = 5000;

/** While no step runs, requests whose time is over are looked for so often. */
export const DEADLINE_LOOK_MS = 50;

/** Copies of pages that are on their way at a time: they take memory and, a little, the time of steps. */
export const COPIES_UNDER_WAY_MAX = 32;

/** How often a folder of copies is looked at for what others have left there. */
export const FOLDER_LOOK_MS = 10_000;
/** A copy that is written takes milliseconds; after so long nobody writes it any more. */
export const UNFINISHED_MS = 60_000;

/** A page that is not full yet is copied anew after so many tokens: as many may have to be computed again. */
export const PARTIAL_COPY_TOKENS = 4;

/**
 * Of a request's pages that were not full, the newest copies are kept: an engine that goes on may know fewer tokens, all those not that
 * were drawn while the journal was out of reach and the lease lasted.
 */
export const TAILS_KEPT = 4;

/** Requests of another engine that copies are to be brought of. */
export const EXPECTED_MAX = 1024;

/** Requests whose copies are looked for while those of another one are written. */
export const RESTORED_AHEAD = 2;
