/** I/O: files. A folder of pages that is kept like another one: what was fetched for it, within a bound of all that lies in it. */

import { lstat, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { assert, ClawError } from "../../base/mod.ts";
import { PAGE_FILE_NAME, pageOf } from "../../engine/mod.ts";

export class FollowedFolder {
  readonly #folder: string;
  readonly #bytesMax: number;
  /** Bytes of its files by name, those of the longest ago first. */
  readonly #held = new Map<string, number>();
  #bytes = 0;
  readonly #fetched = new Set<string>();
  #written = 0;

  constructor(folder: string, bytesMax: number) {
    this.#folder = folder;
    this.#bytesMax = bytesMax;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** Of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Names of files that were fetched from others, and lie there. */
  get fetched(): ReadonlySet<string> {
    return this.#fetched;
  }

  has(name: string): boolean {
    return this.#held.has(name);
  }

  /** Looks what lies there: others may write, too. E_FILE. */
  async look(): Promise<void> {
    const names = await this.#doing(() => readdir(this.#folder));
    const found = await Promise.all(
      names
        .filter((name) => PAGE_FILE_NAME.test(name))
        .map(async (name) => {
          const seen = await lstat(join(this.#folder, name)).catch(() => undefined);
          return seen === undefined ? [] : [{ name, bytes: seen.size, at: seen.mtimeMs }];
        }),
    );
    this.#held.clear();
    this.#bytes = 0;
    for (const { name, bytes } of found.flat().toSorted((a, b) => a.at - b.at)) this.#add(name, bytes);
    for (const name of this.#fetched) if (!this.#held.has(name)) this.#fetched.delete(name);
  }

  /**
   * Keeps a file that was fetched; others, but for those that are `wanted`, give way to it. E_ALTERED where it is no page of that name,
   * E_FILE where it cannot be written.
   */
  async keep(name: string, file: Uint8Array, wanted: ReadonlySet<string>): Promise<void> {
    assert(PAGE_FILE_NAME.test(name), "Only pages are kept in a folder of pages.");
    if (pageOf(name, file) === undefined) {
      throw new ClawError("E_ALTERED", "It handed out what is no page, or not as it was written.");
    }
    for (const oldest of this.#held.keys()) {
      if (this.#bytes + file.length <= this.#bytesMax) break;
      if (!wanted.has(oldest)) await this.remove(oldest);
    }
    if (this.#held.has(name) || this.#bytes + file.length > this.#bytesMax) return;
    this.#add(name, file.length);
    this.#fetched.add(name);
    // As the engine's own: nobody finds what is not whole, and what is left of it when the process ends is taken away some day.
    const unfinished = join(this.#folder, `${name}.${process.pid}-f${this.#written++}`);
    try {
      await this.#doing(async () => {
        await writeFile(unfinished, file, { mode: 0o600, flag: "wx" });
        await rename(unfinished, join(this.#folder, name));
      });
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => {});
      await this.remove(name).catch(() => {});
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    const bytes = this.#held.get(name);
    if (bytes === undefined) return;
    this.#held.delete(name);
    this.#fetched.delete(name);
    await this.#doing(() => rm(join(this.#folder, name), { force: true }));
    // Nothing takes its place before.
    this.#bytes -= bytes;
  }

  #add(name: string, bytes: number): void {
    this.#held.set(name, bytes);
    this.#bytes += bytes;
  }

  async #doing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ClawError("E_FILE", `Copies of pages cannot be kept in ${this.#folder}: ${reason}.`, {
        cause,
      });
    }
  }
}
