/** The recorder: wraps a token generator so that its streams stand in the ledger. */

import { asClawError } from "../base/mod.ts";
import { toHex } from "../crypto/mod.ts";
import type { GenerationRequest, TokenEvent, TokenGenerator } from "../engine/mod.ts";
import type { StreamOwner } from "./statement.ts";
import { type RecorderOptions, StreamRecord } from "./stream-record.ts";

/** Where an entry stands. */
export interface EntryPlace {
  readonly entry: number;
  /** In hexadecimal. */
  readonly leafHash: string;
}

/** A generator for one stream. */
export interface Recording extends TokenGenerator {
  /** Leaf hash of its open entry, in hexadecimal, once the stream has begun; the entry may not be durable yet. */
  readonly opened: Promise<string>;
  /** Where its close entry stands, once the stream has ended. Errors: E_LEDGER, E_OVERLOADED. */
  readonly closed: Promise<EntryPlace>;
}

export class Recorder {
  readonly #options: RecorderOptions;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Records the one stream that is generated with it. */
  record(generator: TokenGenerator, owner: StreamOwner): Recording {
    const { promise, resolve } = Promise.withResolvers<EntryPlace>();
    const opened = Promise.withResolvers<string>();
    promise.catch(() => {}); // whoever waits for it hears of it
    const generate = (request: GenerationRequest): RecordedStream => {
      const record = new StreamRecord(request, owner, this.#options);
      opened.resolve(record.opened);
      resolve(record.closed.then(({ index, leaf }) => ({ entry: index, leafHash: toHex(leaf) })));
      return new RecordedStream(generator.generate(request)[Symbol.asyncIterator](), record);
    };
    return { opened: opened.promise, closed: promise, generate };
  }
}

/** The stream as its reader sees it. A class, because the reader may leave while it waits for a token. */
class RecordedStream implements AsyncIterableIterator<TokenEvent> {
  readonly #source: AsyncIterator<TokenEvent>;
  readonly #record: StreamRecord;

  constructor(source: AsyncIterator<TokenEvent>, record: StreamRecord) {
    this.#source = source;
    this.#record = record;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<TokenEvent>> {
    try {
      const result = await this.#source.next();
      if (result.done) {
        this.#record.close("left");
        return result;
      }
      if (!this.#record.push(result.value.token)) return { done: true, value: undefined };
      if (!this.#record.hasRoom) await this.#record.room();
      if (result.value.finish !== undefined) this.#record.close(result.value.finish);
      return result;
    } catch (thrown) {
      this.#record.close("error", asClawError(thrown).code);
      await this.#source.return?.();
      throw thrown;
    }
  }

  async return(): Promise<IteratorResult<TokenEvent>> {
    this.#record.close("left");
    await this.#source.return?.();
    return { done: true, value: undefined };
  }
}
