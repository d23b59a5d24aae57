/**
 * Where the journal's records lie. One contract for a single process (`MemoryJournalStore`) and for NATS JetStream
 * (`openNatsJournal` in src/cluster/journal); test/journal/store.test.ts is what both keep.
 */

/** What a record is filed under. Nobody is told more by it than how many streams there are. */
export interface RecordPlace {
  /** Of whoever wrote it. */
  readonly epoch: number;
  /** 32 hexadecimal digits that stand for the stream. */
  readonly stream: string;
  readonly kind: "opening" | "tokens";
}

export interface StoredRecord extends RecordPlace {
  readonly bytes: Uint8Array;
}

export interface JournalStore {
  /** Durable when it resolves. E_CONTROL where it is not known whether it is, or there is no room. */
  add(record: StoredRecord): Promise<void>;
  /** Takes away what one epoch wrote of a stream. E_CONTROL. */
  remove(epoch: number, stream: string): Promise<void>;
  /** All records, those of one place in the order in which they were added. E_CONTROL. */
  read(): AsyncIterable<StoredRecord>;
  close(): Promise<void>;
}
