/** Bounds of handing out parts of model files, and of fetching them. */

import { HASH_CHUNK_BYTES } from "../../kernels/mod.ts";

/** Bytes that are hashed, asked for and sent at once: of a whole tensor they are the leaves of its tree in the model's seal. */
export const PIECE_BYTES_MAX: number = HASH_CHUNK_BYTES;

/** Of a request: as many places as are asked for at once take less. */
export const ASK_BYTES_MAX: number = 64 * 1024;

/** Pieces whose hashes are asked for at once. */
export const HASHES_ASKED_MAX = 128;

/** A seal as JSON: its tensors' names and digests take some 100 bytes each. */
export const SEAL_BYTES_MAX: number = 16 * 1024 * 1024;

/** A header: metadata with a vocabulary and merges, and the table of tensors. */
export const HEADER_BYTES_MAX: number = 256 * 1024 * 1024;

/** Of the file, as a peer may claim it: it takes no disk by itself. */
export const FILE_BYTES_MAX: number = 2 ** 44;

/** Requests under way on a link: the next one is there while the one before it is answered. */
export const ASKS_AHEAD = 3;

/** How long a peer may take for an answer: it may have to read and hash hundreds of pieces from a slow disk. */
export const ANSWER_MS = 60_000;

/** How often a peer that ends in the middle is asked again, after the others. */
export const ATTEMPTS_MAX = 3;

/** Links over which a process hands out pieces at a time, and pieces that are read or hashed for them at a time. */
export const LINKS_MAX = 32;
export const WORK_MAX = 1;

/** How long somebody who fetches may say nothing, or take nothing of an answer: it writes to its disk meanwhile. */
export const IDLE_MS = 120_000;

/** Hashes that are remembered of a file: those of a terabyte. */
export const HASHES_KEPT_MAX: number = 2 ** 20;

/** Of the disk: what fetched slices take unless told otherwise, and of what is free. */
export const FETCH_BYTES_DEFAULT: number = 64 * 2 ** 30;
export const FREE_SHARE = 0.5;

/** Between two words on how far fetching is. */
export const PROGRESS_MS = 250;
