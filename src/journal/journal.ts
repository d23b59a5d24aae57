/**
 * The journal: what another process needs to go on with the streams of one that died. A stream's opening decides all its tokens,
 * so that it alone has to be there before a client is given any; tokens are kept to be computed less often, and one that is
 * missing is computed again.
 */

import { ClawError } from "../base/mod.ts";
import { BATCH_TOKENS_MAX, OPENING_BYTES_MAX, RECORD_BYTES_MAX, STREAMS_MAX } from "./limits.ts";
import {
  type JournalToken,
  readOpening,
  readTokens,
  type TokenBatch,
  writeOpening,
  writeTokens,
} from "./records.ts";
import { JournalSeal } from "./seal.ts";
import type { JournalStore } from "./store.ts";
import { type FoundStream, StreamsFound } from "./streams-found.ts";

export interface JournalOptions {
  readonly store: JournalStore;
  /** Of the cluster. */
  readonly secret: Uint8Array;
  readonly random: (count: number) => Uint8Array;
}

export interface JournalReading {
  readonly streams: readonly FoundStream[];
  /** Records that were not taken, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Of an opening's part: base64 has four letters for three bytes, and there is more in a record. */
const PART_BYTES = Math.floor(((RECORD_BYTES_MAX - 4096) * 3) / 4);

export class Journal {
  readonly #store: JournalStore;
  readonly #seal: JournalSeal;

  constructor({ store, secret, random }: JournalOptions) {
    this.#store = store;
    this.#seal = new JournalSeal(secret, random);
  }

  /** Keeps a stream of this epoch; durable when it resolves. E_CONTROL. */
  async open(epoch: number, id: string, opening: string): Promise<void> {
    const bytes = Buffer.from(opening);
    if (bytes.length > OPENING_BYTES_MAX) {
      const most = `${OPENING_BYTES_MAX} fit the journal`;
      throw new ClawError("E_CONTROL", `The stream's opening has ${bytes.length} bytes; ${most}.`);
    }
    const stream = this.#seal.nameOf(id);
    const parts = Math.max(1, Math.ceil(bytes.length / PART_BYTES));
    const place = { epoch, stream, kind: "opening" } as const;
    const adding = Array.from({ length: parts }, (_, part) => {
      const text = bytes.toString("base64", part * PART_BYTES, (part + 1) * PART_BYTES);
      return this.#store.add(this.#seal.seal(place, writeOpening({ id, part, parts, text })));
    });
    await Promise.all(adding);
  }

  /** Keeps tokens of an open stream, at most BATCH_TOKENS_MAX; durable when it resolves. E_CONTROL. */
  async tokens(epoch: number, id: string, batches: readonly TokenBatch[]): Promise<void> {
    const place = { epoch, stream: this.#seal.nameOf(id), kind: "tokens" } as const;
    await this.#store.add(this.#seal.seal(place, writeTokens(batches)));
  }

  /** Forgets what an epoch kept of a stream: nobody is to go on with it. E_CONTROL. */
  async close(epoch: number, id: string): Promise<void> {
    await this.#store.remove(epoch, this.#seal.nameOf(id));
  }

  /** All streams that were not closed, of any epoch. E_CONTROL. */
  async read(): Promise<JournalReading> {
    const found = new StreamsFound(STREAMS_MAX);
    for await (const record of this.#store.read()) {
      const { epoch, stream, kind, bytes } = record;
      const text = bytes.length > RECORD_BYTES_MAX ? undefined : this.#seal.open(record);
      if (text === undefined) {
        found.drop(bytes.length > RECORD_BYTES_MAX ? "is too large" : "was written by no member");
        continue;
      }
      const opening = kind === "opening" ? readOpening(text) : undefined;
      const batches = kind === "tokens" ? readTokens(text) : undefined;
      if (opening !== undefined && this.#seal.nameOf(opening.id) === stream)
        found.open(stream, epoch, opening);
      else if (batches !== undefined) found.draw(stream, epoch, batches);
      else found.drop("is malformed or of another version");
    }
    return found.end();
  }
}

/** Cuts tokens into batches that fit a record. */
export function batchesOf(choice: number, from: number, tokens: readonly JournalToken[]): TokenBatch[] {
  return Array.from({ length: Math.ceil(tokens.length / BATCH_TOKENS_MAX) }, (_, index) => {
    const begin = index * BATCH_TOKENS_MAX;
    return { choice, from: from + begin, tokens: tokens.slice(begin, begin + BATCH_TOKENS_MAX) };
  });
}
