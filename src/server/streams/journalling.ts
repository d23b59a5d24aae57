/**
 * A stream's way into the journal, beside its way to its clients: no token waits for it. What the journal does not take is tried
 * again until the stream is over.
 */

import { assert } from "../../base/mod.ts";
import { batchesOf, type JournalToken, type TokenBatch } from "../../journal/mod.ts";
import { BATCH_TOKENS, FLUSH_MS, RETRY_MS } from "./limits.ts";

/** The journal as a holder of the lease writes to it. */
export interface StreamJournal {
  /** Whether a stream that it does not take is refused; else it goes on unjournalled. */
  readonly required: boolean;
  /** Durable when it resolves. Errors: E_CONTROL. */
  open(id: string, opening: string): Promise<void>;
  tokens(id: string, batches: readonly TokenBatch[]): Promise<void>;
  /** Nobody is to go on with it. */
  close(id: string): Promise<void>;
}

/** What is counted for /metrics. */
export interface JournalCounts {
  /** Streams that are in the journal. */
  streams: number;
  /** Tokens that it does not have yet. */
  behind: number;
  /** Writes that failed; all but openings are tried again. */
  failures: number;
  /** Streams that go on without it. */
  unjournalled: number;
}

export interface JournallingOptions {
  readonly timeout: (milliseconds: number, expire: () => void) => () => void;
  readonly counts: JournalCounts;
  readonly journal: StreamJournal;
  readonly id: string;
}

interface Choice {
  /** Tokens that the journal has. */
  kept: number;
  /** Those after them. */
  readonly pending: JournalToken[];
}

export class JournalledStream {
  readonly #options: JournallingOptions;
  readonly #choices = new Map<number, Choice>();
  #resting: (() => void) | undefined;
  #opening: Promise<void> | undefined;
  #opened = false;
  #writing = false;
  #closed = false;
  #kept = 0;
  /** What is to be done when so many tokens are in the journal. */
  #waiting: { readonly tokens: number; readonly then: () => Promise<void> } | undefined;

  constructor(options: JournallingOptions) {
    this.#options = options;
    options.counts.streams++;
  }

  /** Resolves when the opening is durable. Errors: E_CONTROL; nothing is written then. */
  async open(opening: string): Promise<void> {
    try {
      await this.#tryOpen(opening);
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** The same for a stream that goes on in any case: it is tried until it is done, or the stream is over. */
  async adopt(opening: string): Promise<void> {
    while (!this.#opened && !this.#closed) {
      await this.#tryOpen(opening).catch(
        () => new Promise<void>((resolve) => void this.#options.timeout(RETRY_MS, resolve)),
      );
    }
  }

  /** A token was drawn. */
  push(choice: number, token: JournalToken): void {
    if (this.#closed) return;
    const own = this.#choices.get(choice) ?? { kept: 0, pending: [] };
    this.#choices.set(choice, own);
    own.pending.push(token);
    this.#options.counts.behind++;
    this.#rest(FLUSH_MS);
  }

  /** Has something done once, tried again until it succeeds, when so many tokens of all answers are in the journal. */
  when(tokens: number, then: () => Promise<void>): void {
    this.#waiting = { tokens, then };
    this.#rest(0);
  }

  /** Takes the stream out of the journal: nobody is to go on with it. */
  close(): void {
    if (this.#closed) return;
    this.leave();
    void this.#forget();
  }

  /** Writes no more; whoever comes after goes on with the stream. */
  leave(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#resting?.();
    const { counts } = this.#options;
    counts.streams--;
    for (const { pending } of this.#choices.values()) counts.behind -= pending.length;
  }

  async #tryOpen(opening: string): Promise<void> {
    const { journal, id, counts } = this.#options;
    this.#opening = journal.open(id, opening);
    try {
      await this.#opening;
      this.#opened = true;
      this.#rest(FLUSH_MS);
    } catch (error) {
      counts.failures++;
      throw error;
    }
  }

  #rest(milliseconds: number): void {
    if (!this.#opened || this.#writing || this.#closed || this.#resting !== undefined) return;
    this.#resting = this.#options.timeout(milliseconds, () => {
      this.#resting = undefined;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    const { journal, id, counts } = this.#options;
    assert(!this.#writing, "A stream is written by one at a time.");
    this.#writing = true;
    let pause: number | undefined;
    try {
      const batches = this.#next();
      if (batches.length > 0) await journal.tokens(id, batches);
      for (const batch of batches) this.#note(batch);
      const waiting = this.#waiting;
      if (waiting !== undefined && this.#kept >= waiting.tokens && !this.#closed) {
        await waiting.then();
        this.#waiting = undefined;
      }
      if ([...this.#choices.values()].some(({ pending }) => pending.length > 0)) pause = FLUSH_MS;
    } catch {
      counts.failures++;
      pause = RETRY_MS;
    }
    this.#writing = false;
    if (pause !== undefined) this.#rest(pause);
  }

  /** As much as one record takes. */
  #next(): TokenBatch[] {
    let room = BATCH_TOKENS;
    return [...this.#choices].flatMap(([choice, { kept, pending }]) => {
      const tokens = pending.slice(0, room);
      room -= tokens.length;
      return batchesOf(choice, kept, tokens);
    });
  }

  #note({ choice, tokens }: TokenBatch): void {
    const own = this.#choices.get(choice);
    if (own === undefined) return;
    own.kept += tokens.length;
    own.pending.splice(0, tokens.length);
    this.#kept += tokens.length;
    if (!this.#closed) this.#options.counts.behind -= tokens.length;
  }

  async #forget(): Promise<void> {
    const { journal, id, counts, timeout } = this.#options;
    try {
      // One that is under way may still arrive.
      await this.#opening?.catch(() => {});
      await journal.close(id);
    } catch {
      counts.failures++;
      // Until the journal's own bound on age takes it, somebody might go on with it, for nobody.
      timeout(RETRY_MS, () => void this.#forget());
    }
  }
}
