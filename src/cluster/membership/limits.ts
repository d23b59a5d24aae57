/** Bounds of membership. */

/** Of a node's record: a description takes some 500 bytes, and each link and each model some 150. */
export const NODE_RECORD_BYTES_MAX = 16_384;

/** Of the cluster's state with its plan: 30 nodes take some 10 KB. */
export const STATE_BYTES_MAX = 262_144;

/** Nodes that a plan may name, and stages. */
export const PLAN_NODES_MAX = 30;

/** Model files that a node may have. */
export const MODELS_MAX = 32;

/** Ranks that a node's record lists: a node has one in a plan, and those of older epochs that are ending. */
export const RANKS_LISTED_MAX = 64;

/** Letters of the reason why there is no plan. */
export const PROBLEM_CHARS_MAX = 4096;

/** Records that are remembered of others: far more than plans may have, since dead ones lie about until they are forgotten. */
export const RECORDS_MAX = 256;

/** Why messages were dropped: so many reasons are counted apart. */
export const DROP_REASONS_MAX = 64;

/** Milliseconds until an unanswered request to the control plane counts as lost. */
export const REQUEST_MS = 2000;

/** Milliseconds between two attempts to reach the control plane again. */
export const RECONNECT_MS = 200;

/** Heartbeats of another process that are waited for before its name counts as taken: a single one may have been the last. */
export const TAKEN_BEATS = 2;
