/** I/O: a thread beside this one that hands out parts of a model's file, so that neither requests nor steps wait for its work. */

import { Worker } from "node:worker_threads";
import { asClawError, ClawError } from "../../base/mod.ts";
import type { HostedModel } from "./host.ts";

/** What the thread begins with. */
export interface SliceThreadTask {
  /** The address in numbers at which others reach it, and this process's name. */
  readonly host: string;
  readonly name: string;
  /** Of the cluster. */
  readonly secret: Uint8Array;
  readonly model: HostedModel;
}

export type FromSliceThread =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "handed out"; readonly bytes: number }
  | { readonly kind: "refused"; readonly why: string };

interface SliceThreadEvents {
  /** Told how many bytes went out so far. */
  readonly onHandedOut: (bytes: number) => void;
  /** Told of a peer that was given nothing, in a sentence. */
  readonly onNote: (text: string) => void;
}

/** How long the thread may take to say goodbye. */
const CLOSE_MS = 1000;

export class SliceThread {
  readonly address: { readonly host: string; readonly port: number };
  readonly #worker: Worker;

  private constructor(worker: Worker, address: SliceThread["address"]) {
    this.#worker = worker;
    this.address = address;
  }

  /** `module`: what runs `runSliceThread`. Resolves when it listens. E_LINK where it cannot. */
  static async start(
    module: URL,
    task: SliceThreadTask,
    { onHandedOut, onNote }: SliceThreadEvents,
  ): Promise<SliceThread> {
    const worker = new Worker(module, { workerData: task });
    const port = await new Promise<number>((resolve, reject) => {
      worker.on("message", (message: FromSliceThread) => {
        if (message.kind === "listening") resolve(message.port);
        else if (message.kind === "handed out") onHandedOut(message.bytes);
        else onNote(message.why);
      });
      worker.on("error", (error) => {
        onNote(`Parts of the model are handed out no more: ${asClawError(error).message}`);
        reject(error);
      });
      worker.once("exit", () => reject(new ClawError("E_LINK", "The thread that hands out models ended.")));
    });
    // It serves others alone: nobody has to wait for its end.
    worker.unref();
    return new SliceThread(worker, { host: task.host, port });
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#worker.postMessage("close");
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_MS);
    await ended;
    clearTimeout(timer);
  }
}
