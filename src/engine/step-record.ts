/** What the engine tells whoever watches it: after every step, and as requests go on and end. */

import type { FinishReason } from "./request.ts";

/** One step, in counts and milliseconds. The engine has one record and overwrites it: copy what is to be kept. */
export interface StepRecord {
  /** Steps before this one. */
  readonly step: number;
  /** Token rows: prompt tokens and decode tokens. */
  readonly rows: number;
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  /** Sequences in the step. */
  readonly sequences: number;
  /** Sequences that hold pages after the step, and the most that may. */
  readonly running: number;
  readonly batch: number;
  /** Requests without pages: new ones and preempted ones. */
  readonly waiting: number;
  /** Sequences in the step, and places there were for them, if requests waited when it began; else both 0. */
  readonly contendedTaken: number;
  readonly contendedPlaces: number;
  /** Pages of running sequences; pages only the prefix cache holds; pages free; their sum, the limit. */
  readonly pagesUsed: number;
  readonly pagesCached: number;
  readonly pagesFree: number;
  readonly pagesLimit: number;
  /** Tokens looked up in the prefix cache at admission, and how many were found there, in this step. */
  readonly prefixLookupTokens: number;
  readonly prefixHitTokens: number;
  /** Sequences that lost their pages in this step: copied out, or to be computed again; and copied back in. */
  readonly swappedOut: number;
  readonly recomputed: number;
  readonly swappedIn: number;
  /** Of a model that is split over ranks: how often the step waited for messages of others, messages between ranks, their bytes. */
  readonly rankExchanges: number;
  readonly rankMessages: number;
  readonly rankBytes: number;
  /** Choosing what runs (page copies included), computing, drawing tokens, handing them over. */
  readonly planMs: number;
  readonly executeMs: number;
  readonly sampleMs: number;
  readonly deliverMs: number;
  /** Tokens drawn: the first `drawn` entries, request by request. */
  readonly drawn: number;
  readonly drawnIds: Int32Array;
  readonly drawnTokens: Int32Array;
}

/** How a request ended; `failed` with an error, `cancelled` by its client. */
export type RequestOutcome = FinishReason | "failed" | "cancelled";

/** The life of one request, in milliseconds of the engine's clock. */
export interface RequestRecord {
  readonly id: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Tokens that came from the prefix cache when it was first admitted. */
  readonly prefixHitTokens: number;
  readonly preemptions: number;
  readonly queuedAt: number;
  /** When it first got a place in the batch; undefined while it waits for that. */
  readonly admittedAt: number | undefined;
  readonly firstTokenAt: number | undefined;
  /** The token before the last one; undefined before the second. */
  readonly previousTokenAt: number | undefined;
  readonly lastTokenAt: number | undefined;
}

/** Whoever watches an engine; called on the engine's thread, between steps. */
export interface EngineObserver {
  stepped?(record: StepRecord): void;
  /** There was nothing to step: how many run and wait, and the pages, are as of now; the rest is the last step's. */
  idled?(record: StepRecord): void;
  /** After each token of a request, and before its client hears of it. */
  token?(request: RequestRecord): void;
  ended?(request: RequestRecord, outcome: RequestOutcome): void;
}
