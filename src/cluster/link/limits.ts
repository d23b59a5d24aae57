/** Bounds of links. */

/** A handshake that takes longer is broken off: a peer that says nothing holds a thread of libuv's pool meanwhile. */
export const HANDSHAKE_MS = 5_000;

/** Handshakes of peers that ask, at a time: of the pool's four threads some are left for files. */
export const HANDSHAKES_MAX = 2;

/** How often a node looks whether another one asks for a link. */
export const ACCEPT_INTERVAL_MS = 20;

/** Bytes of the cluster's secret. */
export const SECRET_BYTES = 32;

/** Letters of a node's name. */
export const NODE_NAME_MAX = 200;

/**
 * After something was read or hashed for a peer, so many times as long is left to others: it takes a third of a core at most. No longer
 * than the most, since what takes longer waits for a disk.
 */
export const REST_RATIO = 2;
export const REST_MS_MAX = 6;
