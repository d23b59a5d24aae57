/** A stream that does not end with its connection: it is drawn whoever reads it, and can be read again. */

import { asClawError, type ClawError, type ErrorCode } from "../../base/mod.ts";
import { END_OF_STREAM, encodeEvent } from "../../protocol/openai/mod.ts";
import type { ServedModel } from "../models.ts";
import type { Chunk } from "../rendering.ts";
import { formatEventId, wrongEventId } from "./event-id.ts";
import { EventLog } from "./event-log.ts";
import type { JournalledStream } from "./journalling.ts";
import type { Tenure } from "./standing.ts";

/** Whose stream it is: nobody else is told that it is there. */
export interface StreamOwner {
  readonly tenant: string;
  /** Of the capability token that it came with; the same token has to come again. */
  readonly revocationIds: readonly string[];
}

export interface StreamParts {
  readonly id: string;
  readonly owner: StreamOwner;
  /** What it was asked for, for those who are to be allowed that. */
  readonly endpoint: string;
  readonly model: ServedModel;
  readonly choices: number;
  readonly chunks: AsyncIterable<Chunk>;
  /** Ends what draws it. */
  readonly cancel: AbortController;
  /** The error for clients of what it failed with. */
  readonly report: (thrown: unknown) => ClawError;
  /** Nothing more is drawn. */
  readonly onEnd: (attended: boolean) => void;
  /** Whether its clients may have more of it than is here: it is computed anew. */
  readonly catchesUp?: boolean;
  /** Where other servers find it; undefined: nowhere. */
  readonly journalled?: Pick<JournalledStream, "close" | "leave"> | undefined;
}

/** What ends a stream here and not elsewhere: another server goes on with it. */
const passed: ReadonlySet<string> = new Set<ErrorCode>(["E_SHUTDOWN", "E_STANDBY"]);

export interface StreamListener {
  grew(stream: KeptStream, bytes: number): void;
  /** Nobody reads it any more, or somebody does again. */
  attended(stream: KeptStream, attended: boolean): void;
}

interface Reading {
  /** The client left. */
  readonly signal: AbortSignal;
  readonly tenure: Tenure;
}

export class KeptStream {
  readonly id: string;
  readonly owner: StreamOwner;
  readonly endpoint: string;
  readonly model: ServedModel;
  readonly log: EventLog;
  readonly #parts: StreamParts;
  readonly #listener: StreamListener;
  #readers = 0;

  constructor(parts: StreamParts, listener: StreamListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.id = parts.id;
    this.owner = parts.owner;
    this.endpoint = parts.endpoint;
    this.model = parts.model;
    this.log = new EventLog(parts.choices);
    void this.#draw();
  }

  get attended(): boolean {
    return this.#readers > 0;
  }

  /** Draws no more. `error`: what readers are told; E_STANDBY leaves it to another server. */
  cancel(error: ClawError): void {
    this.#parts.cancel.abort(error);
    this.log.end(error);
    this.#leaveJournal(error);
  }

  /**
   * Whether anything follows the events that a client says it has, for each choice so many. Errors: E_PARAMETER where it cannot
   * have them.
   */
  follows(counts: readonly number[]): boolean {
    const { log } = this;
    const given = `is of a stream of ${counts.length} answers; ${this.id} has ${log.counts.length}`;
    if (counts.length !== log.counts.length) throw wrongEventId(given);
    const final = log.ended && log.failure === undefined;
    if (final || this.#parts.catchesUp !== true) this.#checkReached(counts);
    if (!log.reaches(counts)) throw wrongEventId("names an event after which too much is no longer kept");
    return !final || log.counts.some((count, choice) => count > (counts[choice] ?? 0));
  }

  /** The events after those that a client has, encoded, as they come. Errors: what ended the stream; E_STANDBY. */
  async *read(counts: readonly number[], { signal, tenure }: Reading): AsyncGenerator<string, void, void> {
    const { log } = this;
    const seen = [...counts];
    const cursor = log.enter();
    const wake = (): void => log.wake();
    const signals = [signal, tenure.signal];
    for (const each of signals) each.addEventListener("abort", wake);
    this.#attend(1);
    try {
      for (;;) {
        tenure.check();
        if (signal.aborted) return;
        const event = log.next(cursor);
        if (event !== undefined) {
          if (event.number <= (seen[event.choice] ?? 0)) continue;
          seen[event.choice] = event.number;
          yield encodeEvent(event.data, formatEventId(this.id, seen));
        } else if (log.ended) {
          if (log.failure !== undefined) throw log.failure;
          this.#checkReached(seen);
          return;
        } else {
          await log.changed();
        }
      }
    } finally {
      for (const each of signals) each.removeEventListener("abort", wake);
      log.leave(cursor);
      this.#attend(-1);
    }
  }

  async #draw(): Promise<void> {
    const { chunks, cancel, report, onEnd } = this.#parts;
    try {
      for await (const { choice, body } of chunks) {
        if (this.log.ended) return;
        this.#append(choice, JSON.stringify(body));
      }
      if (this.log.ended) return;
      this.#append(0, END_OF_STREAM);
      this.log.end();
    } catch (thrown) {
      const error = cancel.signal.aborted ? asClawError(cancel.signal.reason) : report(thrown);
      this.log.end(error);
      this.#leaveJournal(error);
    } finally {
      onEnd(this.attended);
    }
  }

  #leaveJournal({ code }: ClawError): void {
    const { journalled } = this.#parts;
    if (passed.has(code)) journalled?.leave();
    else journalled?.close();
  }

  #append(choice: number, data: string): void {
    const before = this.log.bytes;
    this.log.append(choice, data);
    this.#listener.grew(this, this.log.bytes - before);
  }

  #attend(change: 1 | -1): void {
    const before = this.attended;
    this.#readers += change;
    if (this.attended !== before) this.#listener.attended(this, this.attended);
  }

  #checkReached(counts: readonly number[]): void {
    const beyond = this.log.counts.some((count, choice) => (counts[choice] ?? 0) > count);
    if (beyond) throw wrongEventId("names an event that the stream does not have");
  }
}
