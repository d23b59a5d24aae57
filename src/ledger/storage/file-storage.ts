/**
 * A log in a folder, for one writer. An entry is durable when its journal file is synced; a published file when it and its
 * folder are synced. Both hold after a power loss as far as the disk keeps what `fsync` promises.
 */

import { assert } from "../../base/mod.ts";
import type { Disk } from "../disk/mod.ts";
import { Journal } from "./journal.ts";
import { CHECKPOINT, type LogStorage } from "./storage.ts";

export class FileStorage implements LogStorage {
  readonly #disk: Disk;
  #journal: Journal | undefined;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  open(): Promise<void> {
    return this.#disk.hold();
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return this.#disk.read(path);
  }

  async replay(from: number, entry: (bytes: Uint8Array) => void): Promise<void> {
    this.#journal = await Journal.open(this.#disk, from, entry);
  }

  async append(known: number, entries: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    assert(this.#journal !== undefined, "A journal is replayed before it is appended to.");
    if (entries.length > 0) await this.#journal.append(known, entries);
    return [];
  }

  publish(path: string, bytes: Uint8Array): Promise<void> {
    return this.#disk.replace(path, bytes);
  }

  dropPartial(path: string): Promise<void> {
    return this.#disk.remove(`${path}.p`);
  }

  publishCheckpoint(_size: number, note: Uint8Array): Promise<void> {
    return this.#disk.replace(CHECKPOINT, note);
  }

  async release(index: number): Promise<void> {
    await this.#journal?.release(index);
  }

  close(): Promise<void> {
    return this.#disk.close();
  }
}
