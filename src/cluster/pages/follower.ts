/** I/O: clock, timers. Keeps a folder of pages like that of the server that holds the lease, so that the pages are here when that one dies. */

import { setTimeout as sleep } from "node:timers/promises";
import { asClawError, type ClawError } from "../../base/mod.ts";
import { folderId } from "./folder-id.ts";
import { FollowedFolder } from "./followed-folder.ts";
import { FETCHES_AHEAD, FILES_MAX, HEARD_MAX, LOOK_MS, RETRY_MS, RETRY_MS_MAX } from "./limits.ts";
import { type OpenPages, type PagePeer, PageSource } from "./source.ts";

export interface FollowerOptions {
  /** It is there. */
  readonly folder: string;
  /** Of all files in it. */
  readonly bytesMax: number;
  readonly open: OpenPages;
  /** Told of a peer that failed, in a sentence. */
  readonly onNote: (text: string) => void;
}

export class PageFollower {
  readonly #options: FollowerOptions;
  readonly #own: FollowedFolder;
  readonly #id: string;
  #following: { readonly key: string; readonly over: AbortController } | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** E_FILE. */
  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#own = new FollowedFolder(options.folder, options.bytesMax);
    this.#id = folderId(options.folder);
  }

  /** What it keeps. */
  get folder(): Pick<FollowedFolder, "bytes" | "fetched"> {
    return this.#own;
  }

  /** Follows this one from now on; undefined: nobody. What was fetched stays. */
  follow(peer: PagePeer | undefined): void {
    const key = JSON.stringify(peer);
    if (this.#following?.key === key) return;
    this.#following?.over.abort();
    this.#following = undefined;
    if (peer === undefined) return;
    const over = new AbortController();
    this.#following = { key, over };
    this.#ended = this.#ended.then(() => this.#keepUp(peer, over.signal));
  }

  async close(): Promise<void> {
    this.follow(undefined);
    await this.#ended;
  }

  async #keepUp(peer: PagePeer, signal: AbortSignal): Promise<void> {
    let noted = "";
    const note = ({ message }: ClawError): void => {
      if (message !== noted) this.#options.onNote(`Copies of pages of ${peer.name} are not kept: ${message}`);
      noted = message;
    };
    for (let delay = RETRY_MS; !signal.aborted; delay = Math.min(RETRY_MS_MAX, 2 * delay)) {
      const beganAt = performance.now();
      try {
        // They have one folder: there is nothing to do.
        if (!(await this.#link(peer, signal, note))) return;
      } catch (error) {
        if (signal.aborted) return;
        note(asClawError(error));
      }
      // One that served for long is not the worse for having ended.
      if (performance.now() - beganAt > RETRY_MS_MAX) delay = RETRY_MS;
      await sleep(delay, undefined, { signal }).catch(() => {});
    }
  }

  /** False: it is the same folder. Else it ends with an error, or by the signal. */
  async #link(peer: PagePeer, signal: AbortSignal, note: (problem: ClawError) => void): Promise<boolean> {
    const source = new PageSource(await this.#options.open(peer));
    const end = (): void => source.close();
    signal.addEventListener("abort", end, { once: true });
    try {
      if (signal.aborted || (await source.folderId()) === this.#id) return false;
      await this.#own.look();
      await new Following(source, { own: this.#own, signal, note }).run();
      return true;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  }
}

interface FollowingParts {
  readonly own: FollowedFolder;
  readonly signal: AbortSignal;
  readonly note: (problem: ClawError) => void;
}

/** Of one link. */
class Following {
  readonly #source: PageSource;
  readonly #parts: FollowingParts;
  /** Bytes of the other's files by name, in the order in which they came there. */
  readonly #there = new Map<string, number>();
  /** Of those that could not be had, or were no pages. */
  readonly #passed = new Set<string>();
  #number = 0;

  constructor(source: PageSource, parts: FollowingParts) {
    this.#source = source;
    this.#parts = parts;
  }

  /** Until the signal, or an error. */
  async run(): Promise<void> {
    const { signal } = this.#parts;
    while (!signal.aborted) {
      const next = performance.now() + LOOK_MS;
      if (await this.#hear()) await this.#tidy();
      await this.#fetch(next);
      await sleep(Math.max(0, next - performance.now()), undefined, { signal }).catch(() => {});
    }
  }

  /** Whether it has heard of everything. */
  async #hear(): Promise<boolean> {
    for (let heard = 0; heard < HEARD_MAX; heard++) {
      const { changes, number, more } = await this.#source.changes(this.#number);
      this.#number = number;
      for (const [name, bytes] of changes) {
        this.#there.delete(name);
        this.#passed.delete(name);
        if (bytes > 0) this.#there.set(name, bytes);
      }
      for (const oldest of this.#there.keys()) {
        if (this.#there.size <= FILES_MAX) break;
        this.#there.delete(oldest);
        this.#passed.delete(oldest);
      }
      if (!more) return true;
    }
    return false;
  }

  /** Takes away what it had fetched and the other has no more. */
  async #tidy(): Promise<void> {
    const { own, signal } = this.#parts;
    for (const name of own.fetched) {
      if (signal.aborted) return;
      if (!this.#there.has(name)) await own.remove(name);
    }
  }

  /** The newest that there is room for. */
  #wanted(): Map<string, number> {
    const wanted: [string, number][] = [];
    let room = this.#parts.own.bytesMax;
    for (const [name, bytes] of [...this.#there].reverse()) {
      if (bytes > room) break;
      room -= bytes;
      wanted.push([name, bytes]);
    }
    return new Map(wanted.reverse());
  }

  /** Fetches what is wanted and not there, the oldest first, since each page is of use only with those before it; some, or until some time. */
  async #fetch(until: number): Promise<void> {
    const { own, signal } = this.#parts;
    const wanted = this.#wanted();
    const names = new Set(wanted.keys());
    const missing = [...wanted].filter(([name]) => !own.has(name) && !this.#passed.has(name));
    const worker = async (): Promise<void> => {
      const more = (): boolean => !signal.aborted && performance.now() < until;
      for (let next = missing.shift(); next !== undefined; next = more() ? missing.shift() : undefined) {
        await this.#take(next, names);
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: FETCHES_AHEAD }, worker));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #take([name, bytes]: readonly [string, number], wanted: ReadonlySet<string>): Promise<void> {
    const { own, signal, note } = this.#parts;
    try {
      const file = await this.#source.file(name, bytes);
      if (!signal.aborted) await own.keep(name, file, wanted);
    } catch (thrown) {
      const problem = asClawError(thrown);
      if (problem.code !== "E_NODE" && problem.code !== "E_ALTERED") throw problem;
      this.#passed.add(name);
      if (problem.code === "E_ALTERED") note(problem);
    }
  }
}
