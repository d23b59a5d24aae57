/** The records of a single process. */

import type { JournalStore, StoredRecord } from "./store.ts";

export class MemoryJournalStore implements JournalStore {
  #records: StoredRecord[] = [];

  async add(record: StoredRecord): Promise<void> {
    this.#records.push({ ...record, bytes: Uint8Array.from(record.bytes) });
  }

  async remove(epoch: number, stream: string): Promise<void> {
    this.#records = this.#records.filter((record) => record.epoch !== epoch || record.stream !== stream);
  }

  async *read(): AsyncGenerator<StoredRecord, void, void> {
    yield* [...this.#records];
  }

  async close(): Promise<void> {}
}
