/**
 * The entries of one stream: an open entry as it begins, a progress entry every PROGRESS_TOKENS, a close entry at the end,
 * however it ends. They become durable beside the stream; a token waits only where more than UNCOVERED_TOKENS_MAX would be
 * delivered without one.
 */

import { asClawError, type ClawError } from "../base/mod.ts";
import { leafHash, toHex } from "../crypto/mod.ts";
import type { GenerationRequest } from "../engine/mod.ts";
import type { Placed } from "../ledger/mod.ts";
import {
  type CloseEntry,
  commitment,
  type Entry,
  encodeEntry,
  type ProgressEntry,
  RunningHash,
  type Statement,
} from "../records/mod.ts";
import { PROGRESS_TOKENS, UNCOVERED_TOKENS_MAX } from "./limits.ts";
import { type Computes, type StreamOwner, sha256, statementOf } from "./statement.ts";
import type { Timeline } from "./timeline.ts";
import type { Vaulted, VaultPart } from "./vault.ts";

/** What streams are recorded in. */
export interface RecordStore {
  /** Durable when it resolves; entries keep the order of the calls. Errors: E_LEDGER, E_OVERLOADED. */
  add(entry: Uint8Array): Promise<Placed>;
  /** Durable when it resolves. Errors: E_LEDGER. */
  put<P extends VaultPart>(stream: string, part: P, value: Vaulted[P]): Promise<void>;
}

export interface RecorderOptions {
  readonly store: RecordStore;
  readonly timeline: Timeline;
  readonly random: (count: number) => Uint8Array;
  readonly computes: Computes;
}

/** What ties an entry to its stream. */
type Link = Pick<ProgressEntry, "v" | "stream" | "time" | "clock_drift" | "previous">;

export class StreamRecord {
  readonly #options: RecorderOptions;
  readonly #stream: string;
  readonly #statement: Statement;
  readonly #outputSalt: Uint8Array;
  readonly #running: RunningHash;
  readonly #tokens: number[] = [];
  readonly #closed = Promise.withResolvers<Placed>();
  /** Leaf hash of the open entry, in hexadecimal. */
  readonly opened: string;
  /** Leaf hash of the stream's last entry. */
  #previous: string;
  /** The last entry on its way: each waits for the one before, for after one that is missing none may stand. */
  #adding: Promise<Placed>;
  /** Settles when the vault has what the open entry needs to be replayed. */
  readonly #vaulting: Promise<void>;
  #vaulted = false;
  /** Tokens that durable entries cover; -1: not even the open entry is durable. */
  #covered = -1;
  #failure: ClawError | undefined;
  #ended = false;
  #wake = (): void => {};

  /** Errors: E_ENTRY where the request is too much for an entry. */
  constructor(request: GenerationRequest, owner: StreamOwner, options: RecorderOptions) {
    const { random, store, computes, timeline } = options;
    this.#options = options;
    this.#closed.promise.catch(() => {}); // whoever waits for it hears of it
    this.#stream = toHex(random(16));
    this.#outputSalt = random(32);
    this.#running = new RunningHash(this.#outputSalt, sha256);
    const salt = random(32);
    this.#statement = statementOf(request, { owner, computes, salt });
    const entry = encodeEntry({
      v: 1,
      kind: "open",
      stream: this.#stream,
      ...timeline.stamp(),
      ...this.#statement,
    });
    this.opened = toHex(leafHash(entry));
    this.#previous = this.opened;
    this.#adding = store.add(entry);
    this.#follow(this.#adding, () => this.#cover(0));
    const secret = { salt: toHex(salt), outputSalt: toHex(this.#outputSalt), prompt: [...request.prompt] };
    this.#vaulting = store.put(this.#stream, "open", secret);
    this.#follow(this.#vaulting, () => {
      this.#vaulted = true;
    });
  }

  /** Where the close entry stands, once it is durable. Errors: those of the store. */
  get closed(): Promise<Placed> {
    return this.#closed.promise;
  }

  /** Notes a token that is about to be delivered; false: the stream has ended, it must not be. */
  push(token: number): boolean {
    if (this.#ended) return false;
    this.#running.push(token);
    this.#tokens.push(token);
    if (this.#running.count % PROGRESS_TOKENS === 0) this.#addProgress();
    return true;
  }

  /** Whether the tokens so far may be delivered. */
  get hasRoom(): boolean {
    if (this.#failure !== undefined || !this.#vaulted || this.#covered < 0) return false;
    return this.#running.count - this.#covered <= UNCOVERED_TOKENS_MAX;
  }

  /** Waits until the tokens so far may be delivered, or the stream has ended. Errors: those of the store. */
  async room(): Promise<void> {
    while (!this.#ended && !this.hasRoom) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the stream's record; later calls change nothing. */
  close(finish: CloseEntry["finish"], error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wake();
    this.#addClose(finish, error).then(this.#closed.resolve, (thrown: unknown) =>
      this.#closed.reject(asClawError(thrown)),
    );
  }

  #addProgress(): void {
    const state = this.#state();
    const added = this.#add((link) => ({ ...link, ...state, kind: "progress" }));
    this.#follow(added, () => this.#cover(state.tokens));
  }

  async #addClose(finish: CloseEntry["finish"], error: string | undefined): Promise<Placed> {
    await this.#vaulting;
    const end = {
      finish,
      output: toHex(commitment(this.#outputSalt, this.#tokens)),
      ...(error && { error }),
    };
    const said = { ...this.#statement, ...this.#state(), ...end };
    // The answer first: where there is a close entry, the vault had what opens it.
    await this.#options.store.put(this.#stream, "close", { tokens: this.#tokens });
    return this.#add((link) => ({ ...link, ...said, kind: "close" }));
  }

  /** Adds an entry behind the stream's last one; it is dated when it is added, so that times follow the log's order. */
  #add(make: (link: Link) => Entry): Promise<Placed> {
    this.#adding = this.#adding.then(() => {
      const { timeline, store } = this.#options;
      const entry = encodeEntry(
        make({ v: 1, stream: this.#stream, ...timeline.stamp(), previous: this.#previous }),
      );
      this.#previous = toHex(leafHash(entry));
      return store.add(entry);
    });
    return this.#adding;
  }

  #state(): Pick<ProgressEntry, "tokens" | "running"> {
    return { tokens: this.#running.count, running: toHex(this.#running.value) };
  }

  #cover(tokens: number): void {
    this.#covered = Math.max(this.#covered, tokens);
  }

  #follow(work: Promise<unknown>, done: () => void): void {
    const failed = (thrown: unknown): void => {
      this.#failure ??= asClawError(thrown);
    };
    void work.then(done, failed).then(() => this.#wake());
  }
}
