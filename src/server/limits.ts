/** Bounds of the HTTP server. */

/** Of a request's body: a context of a million tokens as text, with room to spare. */
export const BODY_BYTES_MAX: number = 16 * 1024 * 1024;

/** Of a model's name in a path: as much as Node.js takes of a request's head. */
export const PATH_PARAMETER_MAX: number = 16 * 1024;

/** After which a client should ask again while the model loads, in seconds. */
export const LOADING_RETRY_SECONDS = 5;

/** Of a request that arrives slowly, in milliseconds; answers may take as long as they take. */
export const REQUEST_TIMEOUT_MS = 60_000;

/** After which a client should ask again: a place in the queue is soon free, a restart takes longer. In seconds. */
export const OVERLOAD_RETRY_SECONDS = 1;
export const SHUTDOWN_RETRY_SECONDS = 10;

/** After which a client that asked a standby should ask again: what distributes requests has found the right server then. */
export const STANDBY_RETRY_SECONDS = 1;

/** After which a client should ask again whose stream the journal did not take. */
export const JOURNAL_RETRY_SECONDS = 2;

/** Revocation ids in one request. */
export const REVOCATIONS_MAX = 1000;

/** Of an API key in a file that the configuration names: what nobody guesses, and what fits a header. */
export const KEY_LENGTH_MIN = 16;
export const KEY_BYTES_MAX = 4096;

/** Of a request's id that a client chose. */
export const REQUEST_ID_MAX = 128;
