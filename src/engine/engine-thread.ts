/** I/O: one life of the engine's thread, as seen from the thread that started it. */

import { Worker } from "node:worker_threads";
import { asClawError, ClawError } from "../base/mod.ts";
import { type EngineStart, errorFromData, type FromEngine, type ToEngine } from "./messages.ts";
import type { EngineInfo, EngineSettings } from "./settings.ts";
import { TokenRing, type TokenVisitor } from "./token-ring.ts";

/** Who hears from the thread. */
export interface ThreadListener {
  readonly token: TokenVisitor;
  /** Everything but tokens in the ring, and after those that came before. */
  readonly message: (message: FromEngine) => void;
  /** The thread has ended; its last tokens were read. */
  readonly ended: (error: ClawError) => void;
}

export interface ThreadOptions {
  readonly settings: EngineSettings;
  readonly metrics: SharedArrayBuffer;
  readonly onProgress?: ((fraction: number) => void) | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

export class EngineThread {
  readonly info: EngineInfo;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;

  /** Loads the model on a new thread; resolves when it can answer. E_INTERNAL when it dies before, or why it refuses. */
  static async start(options: ThreadOptions, listener: ThreadListener): Promise<EngineThread> {
    const { settings, metrics, onProgress, onNote } = options;
    const ring = new TokenRing();
    const workerData: EngineStart = { settings, metrics, ring: ring.memory };
    const module = settings.source?.module ?? new URL("./worker.ts", import.meta.url);
    const worker = new Worker(new URL(module), { workerData });
    worker.on("message", (message: FromEngine) => {
      if (message.type === "note") onNote?.(message.text);
    });
    const info = await ready(worker, onProgress);
    return new EngineThread(worker, { info, ring, listener });
  }

  private constructor(
    worker: Worker,
    { info, ring, listener }: { info: EngineInfo; ring: TokenRing; listener: ThreadListener },
  ) {
    this.info = info;
    this.#worker = worker;
    this.#exited = new Promise((resolve) => worker.once("exit", () => resolve()));
    let failure: ClawError | undefined;
    worker.on("message", (message: FromEngine) => {
      ring.drain(listener.token);
      if (message.type !== "tokens") listener.message(message);
      if (message.type === "token" && message.detour) this.send({ type: "received" });
    });
    worker.on("error", (error) => {
      failure = asClawError(error);
    });
    worker.on("exit", () => {
      ring.drain(listener.token);
      listener.ended(failure ?? new ClawError("E_SHUTDOWN", "The engine has stopped."));
    });
  }

  send(message: ToEngine): void {
    this.#worker.postMessage(message);
  }

  /** Ends the thread after its current step. */
  async close(): Promise<void> {
    this.send({ type: "close" });
    await this.#exited;
  }
}

/** Resolves when the worker says it is ready; E_INTERNAL when it dies before. */
function ready(worker: Worker, onProgress: ThreadOptions["onProgress"]): Promise<EngineInfo> {
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
