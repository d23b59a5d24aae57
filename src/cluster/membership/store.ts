/**
 * The control plane as a store of keys: written by compare-and-swap, watched by all. One contract for a single process
 * (`MemoryStore`) and for NATS JetStream (`openNatsStore`); test/cluster/store.test.ts is what both keep.
 */

export interface Entry {
  readonly key: string;
  /** Undefined: the key was deleted. */
  readonly value: Uint8Array | undefined;
  /** Grows with every write to the store. */
  readonly revision: number;
}

export interface Write {
  readonly key: string;
  /** Undefined: delete it. */
  readonly value: Uint8Array | undefined;
  /** The revision that is overwritten; 0: the key must not be there. */
  readonly expected: number;
}

export type WriteOutcome =
  | { readonly kind: "done"; readonly revision: number }
  /** Somebody else wrote. */
  | { readonly kind: "conflict" };

export interface ControlStore {
  /** E_CONTROL where it is not known whether the write was done. */
  write(write: Write): Promise<WriteOutcome>;
  /** Undefined: the key is not there. E_CONTROL. */
  read(key: string): Promise<Entry | undefined>;
  /**
   * Tells every entry that is there and then changes, those of one key in their order: at least the last, for what was written
   * over at once, or while the store could not be reached, may be left out. Entries may be told twice. Resolves to what ends
   * it. E_CONTROL.
   */
  watch(listener: (entry: Entry) => void): Promise<() => void>;
  close(): Promise<void>;
}
