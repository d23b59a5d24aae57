/** Sizes of the seal's tree and of the work on it. The first is part of what a root means and never changes. */

/** Bytes of a tensor under one leaf of its tree: small enough to share out, large enough that hashing sets the pace. */
export const CHUNK_BYTES: number = 1024 * 1024;

/** Chunks handed to a thread at once: a few milliseconds' work, so that all threads end together. */
export const BATCH_CHUNKS = 8;

/** Read and hashed at once: it stays in the second-level cache between the two. */
export const PIECE_BYTES: number = 128 * 1024;

/** Up to here hashing costs less than starting threads for it. */
export const INLINE_BYTES: number = 4 * 1024 * 1024;
