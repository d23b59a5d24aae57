/** Bounds of what is read before anyone is trusted. */

/** A bundle names every tensor in about 150 bytes, base64 adds a third; the largest models have some ten thousand. */
export const BUNDLE_BYTES_MAX: number = 16 * 1024 * 1024;

/** A key in PEM is some hundred bytes. */
export const KEY_BYTES_MAX: number = 64 * 1024;

/** Files or shards in a statement. */
export const RESOURCES_MAX = 100_000;
