/** I/O: the worker that looks at tokens, one after another, and the watchdog that ends it. */

import { Worker } from "node:worker_threads";
import { ClawError } from "../base/mod.ts";
import { QUEUE_MAX, START_MS, WATCHDOG_MS } from "./limits.ts";
import type { Question, RootKey, Verdict } from "./verdict.ts";

interface Waiting {
  readonly question: Question;
  resolve(verdict: Verdict): void;
  reject(error: unknown): void;
}

export interface ThreadListener {
  /** A worker was ended because of a token. */
  readonly killed: (token: string) => void;
}

/**
 * Questions wait their turn here and not in the worker's own queue, so that the watchdog's time is that of one question.
 * When it has passed, the worker is ended and another takes the next question once it is warm.
 */
export class AuthorizerThread {
  readonly #listener: ThreadListener;
  readonly #waiting: Waiting[] = [];
  #keys: readonly RootKey[];
  #worker: Worker | undefined;
  #warm = false;
  #asked: Waiting | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(keys: readonly RootKey[], listener: ThreadListener) {
    this.#keys = keys;
    this.#listener = listener;
    this.#start();
  }

  /** Errors: E_OVERLOADED, E_TOKEN_COST, E_SHUTDOWN. */
  ask(question: Question): Promise<Verdict> {
    if (this.#closed) return Promise.reject(new ClawError("E_SHUTDOWN", "The server is stopping."));
    if (this.#waiting.length >= QUEUE_MAX) {
      const error = new ClawError("E_OVERLOADED", `${QUEUE_MAX} requests wait to be authorized.`, {
        retryAfterSeconds: 1,
      });
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject });
      if (this.#worker === undefined) this.#start();
      this.#next();
    });
  }

  /** Verifies by other keys from the next question on. */
  useKeys(keys: readonly RootKey[]): void {
    this.#keys = keys;
    this.#restart(undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const error = new ClawError("E_SHUTDOWN", "The server is stopping.");
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#asked?.reject(error);
    await this.#worker?.terminate();
  }

  #start(): void {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: this.#keys });
    worker.unref();
    worker.on("message", (message: Verdict | "ready") => this.#heard(worker, message));
    const ended = (reason: unknown): void => {
      // One that was ended on purpose is not this one any more.
      if (worker === this.#worker && !this.#closed) this.#failed(reason);
    };
    worker.on("error", ended).on("exit", ended);
    this.#worker = worker;
    this.#warm = false;
    this.#watch(START_MS);
  }

  #heard(worker: Worker, message: Verdict | "ready"): void {
    if (worker !== this.#worker) return;
    clearTimeout(this.#timer);
    if (message === "ready") this.#warm = true;
    else this.#answer(({ resolve }) => resolve(message));
    this.#next();
  }

  /** A worker that ends by itself gives way to another, but one that cannot even start would for ever. */
  #failed(reason: unknown): void {
    const why = reason instanceof Error ? reason.message : "it ended";
    const error = new ClawError("E_INTERNAL", `The worker that looks at tokens failed: ${why}.`);
    if (this.#warm) {
      if (this.#asked !== undefined) this.#listener.killed(this.#asked.question.token);
      this.#restart(error);
      return;
    }
    clearTimeout(this.#timer);
    this.#worker = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #next(): void {
    if (!this.#warm || this.#asked !== undefined) return;
    this.#asked = this.#waiting.shift();
    if (this.#asked === undefined) return;
    this.#worker?.postMessage(this.#asked.question);
    this.#watch(WATCHDOG_MS);
  }

  #watch(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#asked !== undefined) this.#listener.killed(this.#asked.question.token);
      this.#restart(giveUp(`Looking at the token took longer than ${milliseconds} ms.`));
    }, milliseconds);
    this.#timer.unref();
  }

  /** Another worker in place of this one. `error`: what becomes of the question it has; undefined: it is asked again. */
  #restart(error: ClawError | undefined): void {
    const old = this.#worker;
    this.#worker = undefined;
    void old?.terminate();
    if (error !== undefined) this.#answer(({ reject }) => reject(error));
    else if (this.#asked !== undefined) this.#waiting.unshift(this.#asked);
    this.#asked = undefined;
    if (!this.#closed) this.#start();
  }

  #answer(settle: (asked: Waiting) => void): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked !== undefined) settle(asked);
  }
}

function giveUp(message: string): ClawError {
  return new ClawError("E_TOKEN_COST", message);
}
