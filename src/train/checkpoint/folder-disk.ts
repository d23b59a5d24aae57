/** I/O: a folder of the file system as the disk of checkpoints. */

import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import type { CheckpointDisk } from "./disk.ts";

/** Errors of every operation: E_FILE. */
export class CheckpointFolder implements CheckpointDisk {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return this.#attempt(path, (target) => unlessMissing(readFile(target)));
  }

  list(folder: string): Promise<string[]> {
    return this.#attempt(folder, async (target) => (await unlessMissing(readdir(target))) ?? []);
  }

  append(path: string, bytes: Uint8Array): Promise<void> {
    return this.#attempt(path, async (target) => {
      await mkdir(dirname(target), { recursive: true });
      const file = await open(target, "a");
      try {
        await file.appendFile(bytes);
      } finally {
        await file.close();
      }
    });
  }

  sync(path: string): Promise<void> {
    return this.#attempt(path, async (target) => {
      await syncPath(target);
      await this.#syncFolders(dirname(target));
    });
  }

  replace(path: string, bytes: Uint8Array): Promise<void> {
    return this.#attempt(path, async (target) => {
      await mkdir(dirname(target), { recursive: true });
      const file = await open(`${target}.partial`, "w");
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${target}.partial`, target);
      await this.#syncFolders(dirname(target));
    });
  }

  remove(path: string): Promise<void> {
    return this.#attempt(path, (target) => rm(target, { force: true }));
  }

  /** A folder's names, its own name in the folder around it, and so on up to the root's. */
  async #syncFolders(folder: string): Promise<void> {
    for (let path = folder; path.startsWith(this.#root); path = dirname(path)) {
      await syncPath(path);
      if (path === dirname(path)) return;
    }
    await syncPath(dirname(this.#root));
  }

  async #attempt<T>(path: string, action: (target: string) => Promise<T>): Promise<T> {
    try {
      return await action(join(this.#root, path));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ClawError("E_FILE", `Cannot use ${join(this.#root, path)}: ${reason}.`, { cause: error });
    }
  }
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
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
