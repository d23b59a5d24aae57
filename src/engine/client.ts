/**
 * I/O: speaks with the engine's thread, and starts it again when it has ended by itself. Requests that were in it go on
 * where they were: what is drawn depends on the tokens before it and on nothing that was lost.
 */

import { setTimeout as delay } from "node:timers/promises";
import { asClawError, assert, ClawError } from "../base/mod.ts";
import { EngineThread, type ThreadListener } from "./engine-thread.ts";
import { REQUEST_RESTARTS_MAX, RESTART_DELAY_MS, RESTART_FORGOTTEN_MS, RESTARTS_MAX } from "./limits.ts";
import { errorFromData, type FromEngine, type ToEngine } from "./messages.ts";
import { EngineMetrics } from "./metrics.ts";
import { OpenRequest } from "./open-request.ts";
import type { GenerationRequest, TokenEvent } from "./request.ts";
import type { EngineChange, EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";
import { TokenStream } from "./token-stream.ts";

/** Whoever answers generation requests, token by token. Leaving the iteration early cancels the request. */
export interface TokenGenerator {
  generate(request: GenerationRequest): AsyncIterable<TokenEvent>;
  /** Told of a request that somebody else answers now, and that may have to be gone on with here. */
  expect?(request: GenerationRequest): void;
}

export interface StartOptions {
  /** Fraction of the weights loaded. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Told what the operator should know, in a sentence; also after the start. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** Told once why the engine has ended for good, before its requests are; not when it was closed. */
  readonly onEnded?: ((error: ClawError) => void) | undefined;
}

const NO_TOP: TokenEvent["top"] = [];
const IDLE: EngineLoad = { running: 0, waiting: 0, recovering: false };

interface PendingChange {
  readonly change: EngineChange;
  readonly settle: (error: ClawError | undefined) => void;
}

export class EngineClient implements TokenGenerator {
  /** The engine's counters and histograms, as of its last step. */
  readonly metrics: EngineMetrics = new EngineMetrics();
  readonly #open = new Map<number, OpenRequest>();
  readonly #changes = new Map<number, PendingChange>();
  readonly #listener: ThreadListener = {
    token: (id, token, finish) => this.#token(id, { token, logprob: undefined, top: NO_TOP, finish }),
    message: (message) => this.#receive(message),
    ended: (error) => this.#threadEnded(error),
  };
  /** Undefined while it is started again. */
  #thread: EngineThread | undefined;
  #info: EngineInfo | undefined;
  readonly #onNote: StartOptions["onNote"];
  readonly #onEnded: StartOptions["onEnded"];
  #settings: EngineSettings;
  #startedAt = 0;
  #restarts = 0;
  #nextId = 0;
  #closing = false;
  #ended: ClawError | undefined;
  #load: EngineLoad = IDLE;

  /** Loads the model on a thread of its own; resolves when it can answer. */
  static async start(settings: EngineSettings, options: StartOptions = {}): Promise<EngineClient> {
    const client = new EngineClient(settings, options);
    client.#thread = await client.#startThread(options.onProgress);
    client.#info = client.#thread.info;
    // A thread that is started again can become as large as this one.
    const { batchMax, kvBytesMax } = client.#info;
    client.#settings = { ...settings, batchMax, kvBytesMax };
    return client;
  }

  private constructor(settings: EngineSettings, { onNote, onEnded }: StartOptions) {
    this.#settings = settings;
    this.#onNote = onNote;
    this.#onEnded = onEnded;
  }

  get info(): EngineInfo {
    assert(this.#info !== undefined, "A client is handed out when its thread has started.");
    return this.#info;
  }

  /** Why the engine has ended for good; undefined while it runs, or is started again. */
  get failure(): ClawError | undefined {
    return this.#ended;
  }

  /** Requests in the engine, as it last said. */
  get load(): EngineLoad {
    return this.#load;
  }

  generate(request: GenerationRequest): AsyncIterable<TokenEvent> {
    const id = this.#newId();
    const stream = new TokenStream(() => {
      this.#open.delete(id);
      this.#send({ type: "cancel", id });
    });
    if (this.#ended === undefined) {
      this.#open.set(id, new OpenRequest(request, stream, performance.now()));
      this.#send({ type: "generate", id, request });
    } else {
      stream.fail(this.#ended);
    }
    return stream;
  }

  expect(request: GenerationRequest): void {
    this.#send({ type: "expect", request });
  }

  /** Changes limits between two steps; resolves when they are in force. E_PARAMETER beyond what the engine was started for. */
  configure(change: EngineChange): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#newId();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (error: ClawError | undefined): void => (error === undefined ? resolve() : reject(error));
    this.#changes.set(id, { change, settle });
    this.#send({ type: "configure", id, change });
    return promise;
  }

  /** Ends the thread after its current step; open requests fail with E_SHUTDOWN. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#thread?.close();
    this.#end(new ClawError("E_SHUTDOWN", "The engine has stopped."));
  }

  #newId(): number {
    this.#nextId = (this.#nextId + 1) & 0x7fffffff;
    return this.#nextId;
  }

  /** While the thread is started again, nothing is sent: what is open then is sent when it is ready. */
  #send(message: ToEngine): void {
    this.#thread?.send(message);
  }

  #receive(message: FromEngine): void {
    if (message.type === "load") this.#load = message.load;
    else if (message.type === "token") this.#token(message.id, message.event);
    else if (message.type === "failed") this.#fail(message.id, errorFromData(message.error));
    else if (message.type === "damaged") this.#damaged(errorFromData(message.error));
    else if (message.type === "configured") {
      this.#configured(message.id, message.error === undefined ? undefined : errorFromData(message.error));
    }
  }

  #token(id: number, event: TokenEvent): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    if (event.finish !== undefined) this.#open.delete(id);
    open.push(event);
  }

  #fail(id: number, error: ClawError): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    open?.stream.fail(error);
  }

  #configured(id: number, error: ClawError | undefined): void {
    const pending = this.#changes.get(id);
    this.#changes.delete(id);
    if (pending !== undefined && error === undefined) {
      // A thread that is started again begins with what was changed.
      const { maxBatch, prefillChunkTokens, kvCacheBytes, parallelism } = pending.change;
      const { batch, kvBytes } = this.#settings;
      this.#settings = {
        ...this.#settings,
        batch: maxBatch ?? batch,
        prefillChunkTokens: prefillChunkTokens ?? this.#settings.prefillChunkTokens,
        kvBytes: kvCacheBytes ?? kvBytes,
        parallelism: parallelism ?? this.#settings.parallelism,
      };
    }
    pending?.settle(error);
  }

  /** Whatever runs may be wrong already, so nobody waits for it. */
  #damaged(error: ClawError): void {
    this.#closing = true;
    void this.#thread?.close();
    this.#end(error);
  }

  #threadEnded(error: ClawError): void {
    this.#thread = undefined;
    this.#load = IDLE;
    if (this.#closing) this.#end(error);
    else void this.#restart(error);
  }

  async #startThread(onProgress?: StartOptions["onProgress"]): Promise<EngineThread> {
    const options = {
      settings: this.#settings,
      metrics: this.metrics.memory,
      onProgress,
      onNote: this.#onNote,
    };
    const thread = await EngineThread.start(options, this.#listener);
    this.#startedAt = performance.now();
    return thread;
  }

  /** Starts the thread again, several times if need be, and gives it what was open. */
  async #restart(cause: ClawError): Promise<void> {
    this.#giveUpOnSome(cause);
    let last = cause;
    if (performance.now() - this.#startedAt > RESTART_FORGOTTEN_MS) this.#restarts = 0;
    while (this.#restarts < RESTARTS_MAX && !this.#closing) {
      await delay(RESTART_DELAY_MS << this.#restarts++);
      try {
        await this.#resume(await this.#startThread());
        return;
      } catch (error) {
        last = asClawError(error);
      }
    }
    this.#end(last);
  }

  async #resume(thread: EngineThread): Promise<void> {
    if (this.#closing) {
      await thread.close();
      return;
    }
    this.#thread = thread;
    const now = performance.now();
    for (const [id, open] of this.#open) this.#send({ type: "generate", id, request: open.rest(now) });
    for (const [id, { change }] of this.#changes) this.#send({ type: "configure", id, change });
  }

  /** Requests that have been in too many threads that ended may be why they did. */
  #giveUpOnSome(cause: ClawError): void {
    for (const [id, open] of this.#open) {
      if (++open.restarts <= REQUEST_RESTARTS_MAX) continue;
      const message = `The engine's thread ended ${open.restarts} times while this request ran.`;
      this.#fail(id, new ClawError("E_ENGINE_RESTARTED", message, { cause }));
    }
  }

  #end(error: ClawError): void {
    const first = this.#ended === undefined;
    this.#ended ??= error;
    if (first && error.code !== "E_SHUTDOWN") this.#onEnded?.(error);
    for (const { stream } of this.#open.values()) stream.fail(error);
    for (const { settle } of this.#changes.values()) settle(error);
    this.#open.clear();
    this.#changes.clear();
    assert(this.#thread === undefined || this.#closing, "The engine ends with its thread.");
  }
}
