/** Bounds of planning. */

/** Nodes in a description: a set of them is a bit mask. Larger clusters are several. */
export const NODES_MAX = 30;

/** Of a file that describes nodes and links; 30 nodes with all their links take some 100 KB. */
export const DESCRIPTION_CHARS_MAX: number = 1024 * 1024;

/** Letters in a node's name; it is also part of a key of the control plane. */
export const NAME_CHARS_MAX = 64;

/** Sequences and positions that a plan may be made for, as the engine's own options. */
export const ROWS_MAX = 4096;

/** Sets of nodes of one size that are looked at; six nodes have at most 20, eight at most 70. */
export const SETS_PER_SIZE_MAX = 128;

/** Extensions of unfinished plans by a set of nodes, in each round of the search: a bound on its time. */
export const EXTENSIONS_MAX: number = 2 ** 17;

/** How closely missing memory is told, in bytes. */
export const MISSING_BYTES_STEP: number = 1024 * 1024;
