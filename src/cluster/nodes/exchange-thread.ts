/**
 * I/O: a thread beside this one that hands out parts of a model's file and copies of pages, and fetches those of another server, so that
 * neither requests nor steps wait for its work.
 */

import { Worker } from "node:worker_threads";
import { asClawError, ClawError, type ErrorCode, errorTable } from "../../base/mod.ts";
import { makePageFolder } from "../../engine/mod.ts";
import type { PagePeer } from "../pages/mod.ts";
import type { HostedModel } from "../slices/mod.ts";

/** Where copies of pages lie in files, and how many bytes of them are kept. */
export interface CopyFolder {
  readonly folder: string;
  readonly bytesMax: number;
}

/** What the thread begins with. */
export interface ExchangeTask {
  /** The address in numbers at which others reach it, and this process's name. */
  readonly host: string;
  readonly name: string;
  /** Of the cluster. */
  readonly secret: Uint8Array;
  /** Undefined: parts of none are handed out. */
  readonly model: HostedModel | undefined;
  /** Undefined: pages are neither handed out nor fetched. */
  readonly copies: CopyFolder | undefined;
}

export type ToExchange =
  /** Whose copies of pages are kept, too, from now on; undefined: nobody's. */
  { readonly kind: "follow"; readonly peer: PagePeer | undefined } | { readonly kind: "close" };

export type FromExchange =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "handed out"; readonly bytes: number }
  | { readonly kind: "note"; readonly text: string };

interface ExchangeEvents {
  /** Told how many bytes of models went out so far. */
  readonly onHandedOut: (bytes: number) => void;
  /** Told of a peer that was given nothing, or gave nothing, in a sentence. */
  readonly onNote: (text: string) => void;
}

/** How long the thread may take to say goodbye. */
const CLOSE_MS = 1000;

const workerModule: URL = new URL("./exchange-worker.ts", import.meta.url);

export class ExchangeThread {
  readonly address: { readonly host: string; readonly port: number };
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  #followed = "";

  private constructor(worker: Worker, address: ExchangeThread["address"]) {
    this.#worker = worker;
    this.#ended = new Promise((resolve) => worker.once("exit", () => resolve()));
    this.address = address;
  }

  /** Resolves when it listens. E_LINK where it cannot; E_CONFIG, E_FILE where the folder of copies cannot be used. */
  static async start(task: ExchangeTask, { onHandedOut, onNote }: ExchangeEvents): Promise<ExchangeThread> {
    if (task.copies !== undefined) makePageFolder(task.copies.folder);
    const worker = new Worker(workerModule, { workerData: task });
    const port = await new Promise<number>((resolve, reject) => {
      worker.on("message", (message: FromExchange) => {
        if (message.kind === "listening") resolve(message.port);
        else if (message.kind === "handed out") onHandedOut(message.bytes);
        else onNote(message.text);
      });
      worker.on("error", (thrown) => {
        const error = thrownThere(thrown);
        onNote(`Neither models nor copies of pages are exchanged with others any more: ${error.message}`);
        reject(error);
      });
      worker.once("exit", () => reject(new ClawError("E_LINK", "The thread that exchanges files ended.")));
    });
    // It serves others alone: nobody has to wait for its end.
    worker.unref();
    return new ExchangeThread(worker, { host: task.host, port });
  }

  /** Keeps the copies of this server's pages, too, from now on; undefined: nobody's. */
  follow(peer: PagePeer | undefined): void {
    const followed = JSON.stringify(peer ?? null);
    if (followed === this.#followed) return;
    this.#followed = followed;
    this.#say({ kind: "follow", peer });
  }

  async close(): Promise<void> {
    this.#say({ kind: "close" });
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #say(message: ToExchange): void {
    this.#worker.postMessage(message);
  }
}

/** Errors come from another thread without their class. */
function thrownThere(thrown: Error & { readonly code?: unknown }): ClawError {
  const { code, message } = thrown;
  const known = typeof code === "string" && Object.hasOwn(errorTable, code);
  return known ? new ClawError(code as ErrorCode, message, { cause: thrown }) : asClawError(thrown);
}
