/** I/O: threads that hash an open file's chunks with SHA-256, all cores at once. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { asClawError, ClawError } from "../../base/mod.ts";
import { type ChunkTask, hashChunks } from "./chunks.ts";
import { BATCH_CHUNKS, CHUNK_BYTES, INLINE_BYTES } from "./limits.ts";
import type { HashReply } from "./worker.ts";

interface Job {
  readonly task: ChunkTask;
  readonly settle: (reply: HashReply | ClawError) => void;
}

export class HashPool {
  readonly #size: number;
  readonly #workers: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #running = new Map<Worker, Job>();
  readonly #queue: Job[] = [];

  /** One thread for each core unless told; they are started when there is work for them. */
  constructor(size: number = availableParallelism()) {
    this.#size = size;
  }

  /** The leaf hashes of a run of chunks, one after another. Errors: E_FILE. */
  async hash(task: ChunkTask): Promise<Uint8Array> {
    const step = BATCH_CHUNKS * CHUNK_BYTES;
    const jobs: Promise<Uint8Array>[] = [];
    for (let first = 0; first < task.length; first += step) {
      const length = Math.min(step, task.length - first);
      jobs.push(this.#submit({ ...task, offset: task.offset + first, length }, task.length));
    }
    return new Uint8Array(Buffer.concat(await Promise.all(jobs)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #submit(task: ChunkTask, whole: number): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const settle = (reply: HashReply | ClawError): void => {
      if (reply instanceof ClawError) reject(reply);
      else if ("hashes" in reply) resolve(reply.hashes);
      else reject(unreadable(reply.problem));
    };
    if (whole <= INLINE_BYTES && this.#queue.length === 0) settle(inline(task));
    else {
      this.#queue.push({ task, settle });
      this.#advance();
    }
    return promise;
  }

  #advance(): void {
    while (this.#queue.length > 0) {
      const worker = this.#idle.pop() ?? (this.#workers.length < this.#size ? this.#start() : undefined);
      if (worker === undefined) return;
      const job = this.#queue.shift() as Job;
      this.#running.set(worker, job);
      worker.postMessage(job.task);
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
    this.#workers.push(worker);
    worker.on("message", (reply: HashReply) => {
      const job = this.#running.get(worker);
      this.#running.delete(worker);
      this.#idle.push(worker);
      job?.settle(reply);
      this.#advance();
    });
    // A thread that dies takes its task with it; those that wait fail with it rather than for ever.
    worker.on("error", (error) => {
      const failed = [
        ...this.#queue.splice(0),
        ...(this.#running.get(worker) === undefined ? [] : [this.#running.get(worker) as Job]),
      ];
      for (const job of failed) job.settle(asClawError(error));
    });
    return worker;
  }
}

function inline(task: ChunkTask): HashReply {
  try {
    return { hashes: hashChunks(task) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function unreadable(problem: string): ClawError {
  return new ClawError("E_FILE", `Hashing the model failed: ${problem}.`);
}
