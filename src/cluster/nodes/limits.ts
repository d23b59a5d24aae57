/** Bounds of nodes that run ranks for others. */

/** Of a request to a node, and of its answer. */
export const REQUEST_BYTES_MAX = 16_384;

/** Letters of what a node says went wrong. */
export const REASON_CHARS_MAX = 2000;

/** How long a node waits for the next request on a link, and whoever asks for its answer: both hold a thread of libuv's pool. */
export const REQUEST_MS = 5000;

/** Nodes that are asked at a time: each holds a thread of libuv's pool until it answers, and others need some. */
export const ASKED_MAX = 2;

/** How long a node may take to start a rank's process. */
export const START_MS = 30_000;

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

/** Between two looks whether a node that drains may leave. */
export const DRAIN_LOOK_MS = 200;

/** How long somebody who looks at a cluster waits for heartbeats of the nodes whose records lie there. */
export const OBSERVE_MS = 2500;
