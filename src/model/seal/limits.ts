/** Sizes of the seal's tree and of the work on it. */

import { HASH_CHUNK_BYTES } from "../../kernels/mod.ts";

/** Bytes of a tensor under one leaf of its tree: part of what a root means, so it never changes. */
export const CHUNK_BYTES: number = HASH_CHUNK_BYTES;

/** Hashed by one job of all threads: long enough that their starting and ending together costs nothing. */
export const GROUP_BYTES: number = 64 * CHUNK_BYTES;

/** Read and hashed at once on one thread: it stays in the second-level cache between the two. */
export const PIECE_BYTES: number = 128 * 1024;
