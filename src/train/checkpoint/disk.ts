/**
 * What keeping checkpoints asks of a disk. The promises are those of POSIX after `fsync` and no more: what was not synced may be
 * lost, or may be there while something written before it is not. The ledger's disk promises the same.
 */
export interface CheckpointDisk {
  /** The file's bytes; undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Names in a folder; none where there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Appends to a file, which is made if need be. Not durable before `sync`. */
  append(path: string, bytes: Uint8Array): Promise<void>;
  /** Makes the file's content, and its name in its folder, durable. */
  sync(path: string): Promise<void>;
  /** Replaces a file by these bytes; whole and durable when it resolves, the old or the new content before. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Removes a file; none is no error. Not durable: whoever finds it again removes it again. */
  remove(path: string): Promise<void>;
}
