/** I/O: a clock. What lies in a folder of pages, and what has changed there, in numbered order. */

import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { PAGE_FILE_NAME } from "../../engine/mod.ts";
import { CHANGES_MAX, FILES_MAX, GONE_MAX, LOOK_MS, PAGE_FILE_BYTES_MAX } from "./limits.ts";
import type { Change, Changes } from "./message.ts";

interface Numbered {
  readonly number: number;
  readonly change: Change;
}

export class FolderChanges {
  readonly #folder: string;
  /** By name, in the order of their numbers. */
  readonly #files = new Map<string, Numbered>();
  readonly #gone: Numbered[] = [];
  #number = 0;
  /** Of the newest that is gone and forgotten. */
  #forgotten = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * For one who asks what came after a number, from 0 on. E_NODE where it is not known any more what has changed since; E_LINK_PEER where
   * nothing had that number.
   */
  reader(): (after: number) => Promise<Changes> {
    let began = 0;
    return async (after) => {
      await this.#look();
      if (after === 0) began = this.#number;
      return this.#after(after, began);
    };
  }

  /** `began`: the newest change when its reader began, who need not hear of what was gone by then. */
  #after(number: number, began: number): Changes {
    if (number > this.#number) throw new ClawError("E_LINK_PEER", `There is no change ${number} yet.`);
    if (Math.max(number, began) < this.#forgotten) {
      throw new ClawError("E_NODE", `What has changed since ${number} is forgotten.`);
    }
    const later = [...this.#files.values(), ...(number === 0 ? [] : this.#gone)].filter(
      (each) => each.number > number,
    );
    later.sort((a, b) => a.number - b.number);
    const told = later.slice(0, CHANGES_MAX);
    const more = later.length > told.length;
    // Of those that are gone nobody has to hear who begins.
    const last = more ? (told.at(-1)?.number ?? number) : this.#number;
    return { changes: told.map(({ change }) => change), number: last, more };
  }

  /** Once for all who ask within half of the time in which each asks. */
  #look(): Promise<void> {
    const now = performance.now();
    if (this.#looking === undefined && now - this.#lookedAt < LOOK_MS / 2) return Promise.resolve();
    this.#lookedAt = now;
    this.#looking ??= this.#read().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #read(): Promise<void> {
    const names = new Set((await readdir(this.#folder)).filter((name) => PAGE_FILE_NAME.test(name)));
    for (const name of this.#files.keys()) if (!names.has(name)) this.#lose(name);
    const found = await Promise.all(
      [...names]
        .filter((name) => !this.#files.has(name))
        .map(async (name) => {
          const seen = await lstat(join(this.#folder, name)).catch(() => undefined);
          const fits = seen?.isFile() === true && seen.size > 0 && seen.size <= PAGE_FILE_BYTES_MAX;
          return fits ? [{ name, bytes: seen.size, at: seen.mtimeMs }] : [];
        }),
    );
    for (const { name, bytes } of found.flat().toSorted((a, b) => a.at - b.at)) {
      this.#files.set(name, { number: ++this.#number, change: [name, bytes] });
    }
    for (const name of this.#files.keys()) {
      if (this.#files.size <= FILES_MAX) break;
      this.#lose(name);
    }
  }

  #lose(name: string): void {
    this.#files.delete(name);
    this.#gone.push({ number: ++this.#number, change: [name, 0] });
    if (this.#gone.length > GONE_MAX) this.#forgotten = this.#gone.shift()?.number ?? 0;
  }
}
