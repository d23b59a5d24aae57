/** What a load is unless told otherwise. */

/** A run of a billion parameters beside llama.cpp takes some minutes with these. */
export const LOAD_DEFAULTS = {
  /** Requests in flight, and sequences that run together. */
  concurrency: 16,
  requests: 128,
  /** Mean tokens of prompts and of answers. */
  length: 40,
} as const;

/** Lengths reach from this part of their mean to as much above it. */
export const LENGTH_SPREAD = 0.6;

/** Token ids of prompts lie below this, past the special ones: every vocabulary has them. */
export const TOKEN_FIRST = 3;
export const TOKEN_COUNT = 250;

/** Parts of a load that ours and the peer take by turns. */
export const TURNS = 2;

/** Between looks at the server. */
export const LOOK_MS = 100;

/** For a server to load its model. */
export const START_SECONDS = 300;

/** The other scenario: sequences that decode while prompts are read. */
export const BACKLOG_STREAMS = 8;
export const BACKLOG_PROMPTS = 4;
export const BACKLOG_PROMPT_TOKENS = 4096;
/** Tokens of such a stream at most: more than it draws while the backlog is read. */
export const BACKLOG_STREAM_TOKENS = 2048;
/** Seconds for which the streams are watched alone. */
export const BACKLOG_ALONE_SECONDS = 8;

/** Rounds of a load with the ledger on and off, unless told otherwise; an even number: each begins as often. */
export const RECORDING_ROUNDS = 8;
