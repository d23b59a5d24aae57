/**
 * I/O: copies of KV pages as files of a folder. They outlive this process, so another server goes on with what it finds there: one
 * of this machine, or one that keeps such a folder like this one (`src/cluster/pages/`).
 */

import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FOLDER_LOOK_MS, UNFINISHED_MS } from "./limits.ts";
import {
  makePageFolder,
  PAGE_DIGEST_BYTES,
  PAGE_FILE_SUFFIX,
  pageDigest,
  pageFileName,
  pageOf,
} from "./page-file.ts";
import type { PageStore } from "./page-store.ts";

export interface FolderPageStoreOptions {
  readonly folder: string;
  /** All that pages follow from beside what their keys say: the model and how it is computed. */
  readonly identity: string;
  /** Of all files in the folder; those put or found longest ago go first. */
  readonly bytesMax: number;
  /** Told of every page that had to give way, or that could not be written. */
  readonly onForgotten?: () => void;
}

export class FolderPageStore implements PageStore {
  readonly #options: FolderPageStoreOptions;
  /** Bytes of the files that are known, by name, in order of use. */
  #files = new Map<string, number>();
  #bytes = 0;
  /** What is done to files now, by name: one thing after the other. */
  readonly #work = new Map<string, Promise<void>>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #written = 0;

  /** Makes the folder. E_CONFIG where it is not this user's alone. */
  constructor(options: FolderPageStoreOptions) {
    this.#options = options;
    makePageFolder(options.folder);
  }

  has(key: string): boolean {
    return this.#use(this.#nameOf(key));
  }

  put(key: string, bytes: Uint8Array): void {
    const name = this.#nameOf(key);
    this.#forget(name);
    this.#files.set(name, bytes.byteLength);
    this.#bytes += bytes.byteLength;
    this.#do(name, () => this.#write(name, bytes));
    void this.#look();
    for (const oldest of this.#files.keys()) {
      if (this.#bytes <= this.#options.bytesMax) return;
      this.#remove(oldest);
      this.#options.onForgotten?.();
    }
  }

  drop(key: string): void {
    this.#remove(this.#nameOf(key));
  }

  async find(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    await this.#look();
    return Promise.all(keys.map((key) => this.#read(this.#nameOf(key))));
  }

  /** Resolves when everything that was put is written. */
  async settled(): Promise<void> {
    await Promise.all(this.#work.values());
  }

  #nameOf(key: string): string {
    return pageFileName(this.#options.identity, key);
  }

  #path(name: string): string {
    return join(this.#options.folder, name);
  }

  #use(name: string): boolean {
    const bytes = this.#files.get(name);
    if (bytes === undefined) return false;
    this.#files.delete(name);
    this.#files.set(name, bytes);
    return true;
  }

  #forget(name: string): void {
    this.#bytes -= this.#files.get(name) ?? 0;
    this.#files.delete(name);
  }

  #remove(name: string): void {
    if (!this.#files.has(name)) return;
    this.#forget(name);
    this.#do(name, () => rm(this.#path(name), { force: true }));
  }

  /** After what is being done to that file. What fails leaves no file. */
  #do(name: string, work: () => Promise<void>): void {
    const before = this.#work.get(name) ?? Promise.resolve();
    const now = before.then(work).catch(() => {
      this.#forget(name);
      this.#options.onForgotten?.();
    });
    this.#work.set(name, now);
    void now.then(() => {
      if (this.#work.get(name) === now) this.#work.delete(name);
    });
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    // Nobody finds a file that is not whole, and two processes do not write into one.
    const unfinished = this.#path(`${name}.${process.pid}-${this.#written++}`);
    try {
      await writeFile(unfinished, [pageDigest(name, bytes), bytes], { mode: 0o600 });
      await rename(unfinished, this.#path(name));
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  }

  async #read(name: string): Promise<Uint8Array | undefined> {
    await this.#work.get(name);
    let file: Uint8Array;
    try {
      file = await readFile(this.#path(name));
    } catch {
      this.#forget(name);
      return undefined;
    }
    const bytes = pageOf(name, file);
    if (bytes === undefined) {
      this.#remove(name);
      return undefined;
    }
    if (!this.#use(name)) this.#adopt([[name, bytes.byteLength]], "newest");
    return bytes;
  }

  /** Counts what others have left there, so that it gives way some day, and no more what they took away; now and then is enough. */
  async #look(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAt < FOLDER_LOOK_MS) return;
    this.#lookedAt = now;
    const { folder } = this.#options;
    const before = [...this.#files.keys()].filter((name) => !this.#work.has(name));
    const names = await readdir(folder).catch(() => []);
    await this.#clearUnfinished(names);
    const there = new Set(names);
    for (const name of before) if (!there.has(name) && !this.#work.has(name)) this.#forget(name);
    const unknown = names.filter((name) => {
      return name.endsWith(PAGE_FILE_SUFFIX) && !this.#files.has(name) && !this.#work.has(name);
    });
    const found = await Promise.all(
      unknown.map(async (name) => {
        const seen = await stat(this.#path(name)).catch(() => undefined);
        return seen === undefined ? [] : [{ name, bytes: seen.size - PAGE_DIGEST_BYTES, at: seen.mtimeMs }];
      }),
    );
    const byAge = found.flat().toSorted((a, b) => a.at - b.at);
    this.#adopt(
      byAge.map(({ name, bytes }) => [name, bytes] as const),
      "oldest",
    );
  }

  /** Of processes that ended while they wrote. */
  async #clearUnfinished(names: readonly string[]): Promise<void> {
    const own = `.${process.pid}-`;
    const unfinished = names.filter((name) => name.includes(`${PAGE_FILE_SUFFIX}.`) && !name.includes(own));
    for (const name of unfinished) {
      const seen = await stat(this.#path(name)).catch(() => undefined);
      if (seen !== undefined && Date.now() - seen.mtimeMs > UNFINISHED_MS) {
        await rm(this.#path(name), { force: true }).catch(() => {});
      }
    }
  }

  #adopt(files: readonly (readonly [string, number])[], as: "oldest" | "newest"): void {
    const own = files.filter(([name]) => !this.#files.has(name));
    this.#files = new Map(as === "oldest" ? [...own, ...this.#files] : [...this.#files, ...own]);
    for (const [, bytes] of own) this.#bytes += bytes;
  }
}
