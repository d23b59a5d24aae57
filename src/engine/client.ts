/** I/O: starts the engine's thread and speaks with it. */

import { Worker } from "node:worker_threads";
import { asClawError, ClawError } from "../base/mod.ts";
import { errorFromData, type FromEngine, type ToEngine } from "./messages.ts";
import { EngineMetrics } from "./metrics.ts";
import type { GenerationRequest, TokenEvent } from "./request.ts";
import type { EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";
import { TokenStream } from "./token-stream.ts";

/** Whoever answers generation requests, token by token. Leaving the iteration early cancels the request. */
export interface TokenGenerator {
  generate(request: GenerationRequest): AsyncIterable<TokenEvent>;
}

export interface StartOptions {
  /** Fraction of the weights loaded. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Told what the operator should know, in a sentence; also after the start. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export class EngineClient implements TokenGenerator {
  readonly info: EngineInfo;
  /** The engine's counters and histograms, as of its last step. */
  readonly metrics: EngineMetrics = new EngineMetrics();
  readonly #worker: Worker;
  readonly #streams = new Map<number, TokenStream>();
  #nextId = 0;
  #ended: ClawError | undefined;
  #load: EngineLoad = { running: 0, waiting: 0 };

  /** Loads the model on a thread of its own; resolves when it can answer. */
  static async start(settings: EngineSettings, options: StartOptions = {}): Promise<EngineClient> {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: settings });
    worker.on("message", (message: FromEngine) => {
      if (message.type === "note") options.onNote?.(message.text);
    });
    const info = await ready(worker, options);
    return new EngineClient(worker, info);
  }

  private constructor(worker: Worker, info: EngineInfo) {
    this.#worker = worker;
    this.info = info;
    worker.on("message", (message: FromEngine) => this.#receive(message));
    worker.on("error", (error) => this.#end(asClawError(error)));
    worker.on("exit", () => this.#end(new ClawError("E_SHUTDOWN", "The engine has stopped.")));
  }

  /** Why the engine's thread has ended; undefined while it runs. */
  get failure(): ClawError | undefined {
    return this.#ended;
  }

  /** Requests in the engine, as it last said. */
  get load(): EngineLoad {
    return this.#load;
  }

  generate(request: GenerationRequest): AsyncIterable<TokenEvent> {
    const id = this.#nextId++;
    const stream = new TokenStream(() => {
      this.#streams.delete(id);
      this.#send({ type: "cancel", id });
    });
    if (this.#ended === undefined) {
      this.#streams.set(id, stream);
      this.#send({ type: "generate", id, request });
    } else {
      stream.fail(this.#ended);
    }
    return stream;
  }

  /** Ends the thread after its current step; open requests fail with E_SHUTDOWN. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#send({ type: "close" });
    await exited;
  }

  #send(message: ToEngine): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromEngine): void {
    if (message.type === "load") this.#load = message.load;
    if (message.type !== "token" && message.type !== "failed") return;
    const stream = this.#streams.get(message.id);
    if (stream === undefined) return;
    if (message.type === "failed") {
      this.#streams.delete(message.id);
      stream.fail(errorFromData(message.error));
      return;
    }
    if (message.event.finish !== undefined) this.#streams.delete(message.id);
    stream.push(message.event);
  }

  #end(error: ClawError): void {
    this.#ended ??= error;
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#streams.clear();
  }
}

/** Resolves when the worker says it is ready; E_INTERNAL when it dies before. */
function ready(worker: Worker, { onProgress }: StartOptions): Promise<EngineInfo> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: FromEngine): void => {
      if (message.type === "loading") onProgress?.(message.fraction);
      else if (message.type === "ready") settle(() => resolve(message.info));
      else if (message.type === "refused") settle(() => reject(errorFromData(message.error)));
    };
    const onError = (error: unknown): void => settle(() => reject(asClawError(error)));
    const onExit = (): void => {
      settle(() => reject(new ClawError("E_INTERNAL", "The engine's thread ended while loading.")));
    };
    const settle = (finish: () => void): void => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      finish();
    };
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
  });
}
