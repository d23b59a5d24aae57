/**
 * What a log asks of its storage: a sequence that entries are appended to, and published files over it. Each driver states
 * what is durable when.
 */

export interface LogStorage {
  /** Gets ready to write. Errors: E_LEDGER when another process writes and the driver allows one writer. */
  open(): Promise<void>;
  /** A published file: the checkpoint, a tile or a bundle, by its path in C2SP tlog-tiles. Undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Hands out the sequence's entries from index `from` on, in order. Errors: E_LEDGER when some are missing or damaged. */
  replay(from: number, entry: (bytes: Uint8Array) => void): Promise<void>;
  /**
   * Adds entries behind all there are; durable, at final indexes, when it resolves. `known` is the index that the caller
   * expects for the first of them; what other writers have put from there on comes back and is before them. Without
   * entries it only looks for those. A failure leaves open whether the entries were added.
   */
  append(known: number, entries: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
  /** Publishes a tile or a bundle, always the same bytes for a path; whole and durable when it resolves. */
  publish(path: string, bytes: Uint8Array): Promise<void>;
  /** Removes all that was published of a tile or a bundle before it was full; `path` is the full one's. Not durable. */
  dropPartial(path: string): Promise<void>;
  /** Publishes the signed checkpoint of a tree of `size`, unless a larger one is there; whole and durable when it resolves. */
  publishCheckpoint(size: number, note: Uint8Array): Promise<void>;
  /** Says that entries before `index` are in published full bundles: the sequence need not keep them a second time. */
  release(index: number): Promise<void>;
  /** Lets another process write; once more, does nothing. */
  close(): Promise<void>;
}

/** The file of the last checkpoint. */
export const CHECKPOINT = "checkpoint";
