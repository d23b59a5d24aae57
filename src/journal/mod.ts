export { batchesOf, Journal } from "./journal.ts";
export { RECORD_BYTES_MAX } from "./limits.ts";
export { MemoryJournalStore } from "./memory-store.ts";
export type { JournalToken, TokenBatch } from "./records.ts";
export type { JournalStore, RecordPlace, StoredRecord } from "./store.ts";
export type { FoundStream } from "./streams-found.ts";
