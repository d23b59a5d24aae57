/** Bounds of membership. */

/** Of a node's record: a description takes some 500 bytes. */
export const NODE_RECORD_BYTES_MAX = 16_384;

/** Of the cluster's state with its plan: 30 nodes take some 10 KB. */
export const STATE_BYTES_MAX = 262_144;

/** Nodes that a plan may name, and stages. */
export const PLAN_NODES_MAX = 30;

/** Letters of the reason why there is no plan. */
export const PROBLEM_CHARS_MAX = 4096;

/** Intervals that a failure detector remembers. */
export const INTERVALS_MAX = 100;

/** Records that are remembered of others: far more than plans may have, since dead ones lie about until they are forgotten. */
export const RECORDS_MAX = 256;

/** Why messages were dropped: so many reasons are counted apart. */
export const DROP_REASONS_MAX = 64;

/** Milliseconds until an unanswered request to the control plane counts as lost. */
export const REQUEST_MS = 2000;

/** Milliseconds between two attempts to reach the control plane again. */
export const RECONNECT_MS = 200;
