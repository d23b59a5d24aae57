/** Bounds of capability tokens. */

/** Of a token's text: it has to fit a request's head with everything else there. */
export const TOKEN_CHARS_MAX = 8192;

/** Shorter texts are API keys: a Biscuit with one empty block has more letters. */
export const TOKEN_CHARS_MIN = 128;

/** Blocks of a token, the first included: each costs a signature check, and nobody delegates so often. */
export const BLOCKS_MAX = 32;

/** Names in one set of a token or an operation, and letters in a name. */
export const NAMES_MAX = 256;
export const NAME_CHARS_MAX = 256;

/** Grants of one kind for sandboxes; more do not fit a token with names in them. */
export const GRANTS_MAX = 64;

/** What Datalog may make by its own, soft limits: a small multiple of what tokens made here need. */
export const FACTS_MAX = 1000;
export const ITERATIONS_MAX = 100;

/** When a worker that does not answer is ended, in milliseconds: a hundred times an answer, and above a pause of the machine. */
export const WATCHDOG_MS = 500;

/** When a worker that starts has to be ready, in milliseconds. */
export const START_MS = 30_000;

/**
 * What looking at one token may take of the library's memory, and all of that memory in pages of 64 KiB: the largest good tokens
 * take a tenth of it. Fixed, because growing it costs milliseconds.
 */
export const EVALUATION_BYTES_MAX: number = 16 * 1024 * 1024;
export const MEMORY_PAGES_MAX = 320;

/** Authorizations that wait for the worker. */
export const QUEUE_MAX = 1024;

/** Decisions that are remembered. */
export const DECISIONS_MAX = 10_000;

/** Tokens that a worker was ended for, and for how many seconds they are not looked at again: the machine may have paused. */
export const BURNT_MAX = 1000;
export const BURNT_SECONDS = 60;

/** Meters that share one token's first block: whoever holds a token can derive any number from it. */
export const METERS_PER_ROOT_MAX = 1024;

/** Of a rate: times are remembered one by one. */
export const RATE_REQUESTS_MAX = 10_000;
export const RATE_SECONDS_MAX = 86_400;

/** Of the list of revoked ids where one is added; and where it is read, because several may have added the last one at once. */
export const LIST_BYTES_MAX: number = 16 * 1024 * 1024;
export const LIST_BYTES_READ_MAX: number = 2 * LIST_BYTES_MAX;

/** Of a line of that list, so that it is one token's: 64 bits of a signature, and what error messages show of an id. */
export const REVOKED_DIGITS_MIN = 16;

/** How long what was spent may be known in memory alone, in milliseconds. */
export const JOURNAL_DELAY_MS = 250;
