export { Archive, type StreamState } from "./archive.ts";
export { type DatabaseUrlOptions, databaseUrl } from "./database-url.ts";
export { Ledger, type LedgerCounts } from "./ledger.ts";
export { storedLog } from "./log-place.ts";
export { Recorder, type Recording } from "./recorder.ts";
export { type Replay, replay } from "./replay.ts";
export { type Found, findEntries, type Known } from "./search.ts";
export type { Computes, StreamOwner } from "./statement.ts";
