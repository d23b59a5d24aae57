/** I/O: what was spent under each revocation id, kept over restarts. */

import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { JOURNAL_DELAY_MS } from "./limits.ts";

export interface Spent {
  readonly tokens: number;
  readonly requests: number;
}

/** Where what was spent is kept. */
export interface SpentStore {
  read(): ReadonlyMap<string, Spent>;
  /** `totals`: what was spent by now under an id. */
  note(id: string, totals: Spent): void;
  close(): void;
}

/**
 * A file of lines `ID TOKENS REQUESTS`; the last line of an id counts. What happened in the last 250 ms may be in memory
 * alone: a crash forgets that much, a stop nothing. Opening it leaves one line for each id.
 */
export class SpentJournal implements SpentStore {
  readonly #file: string;
  readonly #onError: (error: unknown) => void;
  readonly #fresh = new Map<string, Spent>();
  #timer: NodeJS.Timeout | undefined;

  constructor(file: string, onError: (error: unknown) => void) {
    this.#file = file;
    this.#onError = onError;
  }

  /** Errors: those of the system. */
  read(): ReadonlyMap<string, Spent> {
    const totals = new Map<string, Spent>();
    if (!existsSync(this.#file)) return totals;
    for (const line of readFileSync(this.#file, "utf8").split("\n")) {
      // An unfinished last line is of the moment of a crash.
      const [, id, tokens, requests] = /^([0-9a-f]{128,144}) (\d{1,15}) (\d{1,15})\.$/.exec(line) ?? [];
      if (id !== undefined) totals.set(id, { tokens: Number(tokens), requests: Number(requests) });
    }
    writeFileSync(`${this.#file}.new`, linesOf(totals), { mode: 0o600, flush: true });
    renameSync(`${this.#file}.new`, this.#file);
    return totals;
  }

  note(id: string, totals: Spent): void {
    this.#fresh.set(id, totals);
    this.#timer ??= setTimeout(() => this.#write(), JOURNAL_DELAY_MS).unref();
  }

  close(): void {
    this.#write();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#fresh.size === 0) return;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      // A line that a crash cut off ends here.
      appendFileSync(this.#file, `\n${linesOf(this.#fresh)}`, { mode: 0o600 });
      this.#fresh.clear();
    } catch (error) {
      this.#onError(error);
    }
  }
}

function linesOf(totals: ReadonlyMap<string, Spent>): string {
  return [...totals].map(([id, { tokens, requests }]) => `${id} ${tokens} ${requests}.\n`).join("");
}
