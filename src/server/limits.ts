/** Bounds of the HTTP server. */

/** Of a request's body: a context of a million tokens as text, with room to spare. */
export const BODY_BYTES_MAX: number = 16 * 1024 * 1024;

/** Of a model's name in a path: as much as Node.js takes of a request's head. */
export const PATH_PARAMETER_MAX: number = 16 * 1024;

/** After which a client should ask again while the model loads, in seconds. */
export const LOADING_RETRY_SECONDS = 5;

/** Of a request that arrives slowly, in milliseconds; answers may take as long as they take. */
export const REQUEST_TIMEOUT_MS = 60_000;
