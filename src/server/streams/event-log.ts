/** The events of one stream, which any number of readers read, each from wherever it likes. */

import { assert, type ClawError } from "../../base/mod.ts";
import { EVENT_OVERHEAD_BYTES } from "./limits.ts";

export interface LoggedEvent {
  readonly choice: number;
  /** Its place among the events of its choice, counted from 1. */
  readonly number: number;
  /** JSON, or another text of one line. */
  readonly data: string;
}

/** Where a reader is; while it is registered, what it has not read is not forgotten. */
export class Cursor {
  /** The next event's place in the log. */
  at = 0;
}

export class EventLog {
  readonly #counts: number[];
  readonly #events: LoggedEvent[] = [];
  /** Events that were forgotten; they were the first ones. */
  #forgotten = 0;
  readonly #forgottenCounts: number[];
  readonly #cursors = new Set<Cursor>();
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #ended = false;
  #failure: ClawError | undefined;

  constructor(choices: number) {
    this.#counts = new Array<number>(choices).fill(0);
    this.#forgottenCounts = new Array<number>(choices).fill(0);
  }

  /** Events of each choice so far. */
  get counts(): readonly number[] {
    return this.#counts;
  }

  /** What its events take in memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Why it ended before all was said; undefined while it runs, and where all was. */
  get failure(): ClawError | undefined {
    return this.#failure;
  }

  /** Whether somebody who has so many events of each choice can be given all the others. */
  reaches(counts: readonly number[]): boolean {
    return this.#forgottenCounts.every((forgotten, choice) => (counts[choice] ?? 0) >= forgotten);
  }

  append(choice: number, data: string): void {
    assert(!this.#ended && choice < this.#counts.length, "A log takes events of its choices until it ends.");
    const number = (this.#counts[choice] ?? 0) + 1;
    this.#counts[choice] = number;
    this.#events.push({ choice, number, data });
    this.#bytes += bytesOf(data);
    this.wake();
  }

  /** Nothing more comes. */
  end(failure?: ClawError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.wake();
  }

  enter(): Cursor {
    const cursor = new Cursor();
    cursor.at = this.#forgotten;
    this.#cursors.add(cursor);
    return cursor;
  }

  leave(cursor: Cursor): void {
    this.#cursors.delete(cursor);
  }

  /** The next event for a cursor; undefined: there is none yet, or none any more. */
  next(cursor: Cursor): LoggedEvent | undefined {
    const event = this.#events[cursor.at - this.#forgotten];
    if (event !== undefined) cursor.at++;
    return event;
  }

  /** Resolves when there is more to read, or anything else happened that `wake` was called for. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** Has all readers look again. */
  wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Forgets what every reader has read, the oldest first, until `bytes` are gone; returns how many are. */
  forget(bytes: number): number {
    const last = Math.min(...[...this.#cursors].map(({ at }) => at), this.#forgotten + this.#events.length);
    let [freed, count] = [0, 0];
    while (freed < bytes && this.#forgotten + count < last) {
      const event = this.#events[count++];
      if (event === undefined) break;
      this.#forgottenCounts[event.choice] = event.number;
      freed += bytesOf(event.data);
    }
    this.#events.splice(0, count);
    this.#forgotten += count;
    this.#bytes -= freed;
    return freed;
  }
}

function bytesOf(data: string): number {
  return data.length + EVENT_OVERHEAD_BYTES;
}
