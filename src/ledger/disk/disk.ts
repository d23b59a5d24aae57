/**
 * What the ledger asks of a disk. The promises are those of POSIX after `fsync` and no more: what was not synced may be
 * lost, or may be there while something written before it is not.
 */

export interface Disk {
  /** Keeps other processes from writing until `close` or this process's end. Errors: E_LEDGER when another writes. */
  hold(): Promise<void>;
  /** The file's bytes; undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Names in a folder, sorted; none where there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Appends to a file, which is made if need be. Not durable before `sync`. */
  append(path: string, bytes: Uint8Array): Promise<void>;
  /** Makes the file's content, and its name in its folder, durable. */
  sync(path: string): Promise<void>;
  /** Cuts a file off at `length`; durable when it resolves. */
  truncate(path: string, length: number): Promise<void>;
  /** Replaces a file by these bytes; whole and durable when it resolves, the old or the new content before. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Removes a file, or a folder with all in it; none is no error. Not durable: whoever finds it again removes it again. */
  remove(path: string): Promise<void>;
  /** Lets go of the files; another process may hold the disk then. */
  close(): Promise<void>;
}
