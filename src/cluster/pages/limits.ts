/** Bounds of keeping a folder of pages like another server's. */

/** Of a question. */
export const ASK_BYTES_MAX = 1024;

/** Changes in an answer, and its bytes: a change takes some 90. */
export const CHANGES_MAX = 512;
export const CHANGES_BYTES_MAX: number = 64 * 1024;

/** Files that are known of a folder: with pages of 1 MB those of a quarter of a terabyte. The newest count. */
export const FILES_MAX: number = 2 ** 18;

/** Files that are remembered to be gone. Who has not heard of one for longer asks for everything again. */
export const GONE_MAX = 4096;

/** A page of a model of 126 layers with 8 heads of 128 takes 33 MB in f32. */
export const PAGE_FILE_BYTES_MAX: number = 64 * 1024 * 1024;

/** Of a file that are asked for at once. */
export const PART_BYTES_MAX: number = 1024 * 1024;

/** Files that are fetched at a time. */
export const FETCHES_AHEAD = 3;

/** How often a standby asks what has changed: what is lost with the holder is about that much of its answers. */
export const LOOK_MS = 200;

/** Answers that are heard in a row at most, before something is fetched. */
export const HEARD_MAX: number = FILES_MAX / CHANGES_MAX;

/** How long the holder may take for an answer. */
export const ANSWER_MS = 10_000;

/** How long a standby may ask nothing, or take nothing of an answer. */
export const IDLE_MS = 30_000;

/** Standbys of a holder at a time. */
export const LINKS_MAX = 8;

/** After a link that broke, until there is another one; each time twice as long, up to the most. */
export const RETRY_MS = 500;
export const RETRY_MS_MAX = 30_000;

/** Parts that are read at a time for all standbys. */
export const READS_MAX = 1;
