/** Bounds of nodes that run ranks for others. */

/** Of a request to a node, and of its answer. */
export const REQUEST_BYTES_MAX = 16_384;

/** Letters of what a node says went wrong. */
export const REASON_CHARS_MAX = 2000;

/** How long a node waits for the next request on a link, and whoever asks for its answer: both hold a thread of libuv's pool. */
export const REQUEST_MS = 5000;

/** Nodes that are asked at a time: each holds a thread of libuv's pool until it answers, and others need some. */
export const ASKED_MAX = 2;

/** How long a node may take to start a rank's process, or to end some. */
export const ANSWER_MS = 30_000;

/** How long each message of a handshake with a node may take: one that is gone says nothing. */
export const ASK_MS = 3000;

/** A line in which a rank's process says how far its slice is fetched. */
export const FETCH_LINE_CHARS_MAX = 1000;

/** Peers that a rank is told of, which have the model that it lacks. */
export const SLICE_PEERS_MAX = 8;

/** Rank processes at a time: those of a plan that begins beside those of one that ends. */
export const RANK_PROCESSES_MAX = 16;

/** Messages that latency and bandwidth are measured with. */
export const LATENCY_BYTES = 64;
export const LATENCY_ROUNDS = 100;
export const BANDWIDTH_BYTES: number = 1024 * 1024;
export const BANDWIDTH_ROUNDS = 5;

/** How long a message of a measurement may take. */
export const MEASURE_MS = 5000;

/** After which a link that could not be measured is tried again. */
export const SURVEY_RETRY_MS = 5000;

/** Between two looks at who is there, whose link is not measured. */
export const SURVEY_LOOK_MS = 500;

/** How long ranks that were told to end may take for it: they may be keeping packed weights for the next start. */
export const END_PATIENCE_MS = 10_000;
export const END_LOOK_MS = 20;

/** Between two looks whether a node that drains may leave. */
export const DRAIN_LOOK_MS = 200;

/** How long somebody who looks at a cluster waits for heartbeats of the nodes whose records lie there. */
export const OBSERVE_MS = 2500;

/** How long plans do without a node that lives but could not be reached; each time twice as long, up to the most. */
export const AVOID_MS = 5000;
export const AVOID_MS_MAX = 300_000;

/** After which a plan that could not be carried out is tried again, if there is no other. */
export const AGAIN_MS = 2000;

/**
 * Pages of nodes that are copied to the server at a time: beats and answers of steps wait behind them on the same links, and a node
 * that is silent for SILENCE_MS_MIN may be taken for lost. Two of 4 MB take 64 ms at 1 Gbit/s.
 */
export const COPIES_AT_ONCE = 2;

/** How long the next runtime waits until the ranks of a lost one are gone. */
export const CLOSING_MS = 1000;
