/** I/O: a disk that is a folder of the file system. */

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { ClawError } from "../../base/mod.ts";
import type { Disk } from "./disk.ts";
import { lockFile } from "./folder-lock.ts";

/** Only the owner reads the ledger's files: their entries name requests and times. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** Taken by the one process that writes. */
const LOCK = "lock";
/** Files that are not whole yet; what a crash left here is of no use. */
const UNFINISHED = "unfinished";

export class FolderDisk implements Disk {
  readonly #root: string;
  readonly #open = new Map<string, FileHandle>();
  readonly #folders = new Set<string>();
  #temporary = 0;
  #lock: DatabaseSync | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  async hold(): Promise<void> {
    if (this.#lock !== undefined) return;
    await this.#failing(LOCK, async () => {
      await this.#makeFolder(this.#root);
      this.#lock = lockFile(join(this.#root, LOCK));
      await rm(join(this.#root, UNFINISHED), { recursive: true, force: true });
      this.#folders.delete(join(this.#root, UNFINISHED));
    });
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    return this.#unlessMissing(readFile(join(this.#root, path)), path);
  }

  async list(folder: string): Promise<string[]> {
    const names = await this.#unlessMissing(readdir(join(this.#root, folder)), folder);
    return (names ?? []).sort();
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    await this.#failing(path, async () => {
      const file = await this.#handle(path);
      // `write` may write less than it was given; `appendFile` goes on until all is written.
      await file.appendFile(bytes);
    });
  }

  async sync(path: string): Promise<void> {
    await this.#failing(path, async () => {
      const file = this.#open.get(path);
      if (file === undefined) return syncPath(join(this.#root, path));
      await file.datasync();
    });
  }

  async truncate(path: string, length: number): Promise<void> {
    await this.#failing(path, async () => {
      await this.#close(path);
      const file = await open(join(this.#root, path), constants.O_RDWR);
      try {
        await file.truncate(length);
        await file.sync();
      } finally {
        await file.close();
      }
    });
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    await this.#failing(path, async () => {
      const target = join(this.#root, path);
      const temporary = join(this.#root, UNFINISHED, String(this.#temporary++));
      await this.#makeFolder(dirname(temporary));
      await this.#makeFolder(dirname(target));
      const file = await open(temporary, "w", FILE_MODE);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, target);
      await syncPath(dirname(target));
    });
  }

  async remove(path: string): Promise<void> {
    await this.#failing(path, async () => {
      await this.#close(path);
      await rm(join(this.#root, path), { recursive: true, force: true });
      this.#folders.delete(join(this.#root, path));
    });
  }

  async close(): Promise<void> {
    try {
      for (const path of [...this.#open.keys()]) await this.#close(path);
    } finally {
      this.#lock?.close();
      this.#lock = undefined;
    }
  }

  async #handle(path: string): Promise<FileHandle> {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const target = join(this.#root, path);
    await this.#makeFolder(dirname(target));
    const file = await open(target, "a", FILE_MODE);
    this.#open.set(path, file);
    // The new name is durable before anything in the file is said to be.
    await syncPath(dirname(target));
    return file;
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    const made = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    for (let path = folder; made !== undefined; path = dirname(path)) {
      await syncPath(dirname(path));
      if (path === made) break;
    }
    this.#folders.add(folder);
  }

  async #close(path: string): Promise<void> {
    const file = this.#open.get(path);
    this.#open.delete(path);
    await file?.close();
  }

  async #unlessMissing<T>(reading: Promise<T>, path: string): Promise<T | undefined> {
    try {
      return await reading;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw storageError(path, error);
    }
  }

  async #failing(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw storageError(path, error);
    }
  }
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function storageError(path: string, error: unknown): ClawError {
  if (error instanceof ClawError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ClawError("E_LEDGER", `The ledger cannot use its file ${path} (${reason}).`, { cause: error });
}
