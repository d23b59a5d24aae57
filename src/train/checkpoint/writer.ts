/** I/O: writes a run's checkpoints in a thread of its own; the run waits only while its state is copied. */

import { Worker } from "node:worker_threads";
import { asClawError, assert, ClawError } from "../../base/mod.ts";
import type { WriteReply, WriteTask } from "./worker.ts";

/** What a run needs to go on as if it had not stopped. */
export interface Checkpoint {
  /** Steps done. */
  readonly step: number;
  /** The arrays of the run by name (small letters): parameters and both moments. */
  readonly arrays: ReadonlyMap<string, Float32Array>;
  /** The rest, as JSON. */
  readonly meta: unknown;
}

/** Values in each array, which a writer is told before it is given any. */
export function sizesOf(arrays: ReadonlyMap<string, Float32Array>): Map<string, number> {
  return new Map([...arrays].map(([name, { length }]) => [name, length]));
}

type Buffers = ReadonlyMap<string, Float32Array<SharedArrayBuffer>>;

/** One buffer is written while the next is filled. */
const BUFFERS = 2;

export class CheckpointWriter {
  readonly #worker: Worker;
  readonly #free: Buffers[];
  /** Those that are written, the oldest first. */
  readonly #busy: Buffers[] = [];
  #problem: ClawError | undefined;
  /** Wakes who waits for a buffer. */
  #wake: (() => void) | undefined;

  /** `sizes`: values in each array. The buffers are made, and touched, once. */
  constructor(folder: string, sizes: ReadonlyMap<string, number>) {
    this.#free = Array.from({ length: BUFFERS }, () => makeBuffers(sizes));
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: { folder } });
    this.#worker.on("message", ({ problem }: WriteReply) => this.#finish(problem));
    this.#worker.on("error", (error) => this.#fail(asClawError(error)));
  }

  /**
   * Copies the state and has it written. Resolves once it is copied: at once, unless both buffers are still being written.
   * Errors: E_FILE, when an earlier checkpoint could not be written.
   */
  async save({ step, arrays, meta }: Checkpoint): Promise<void> {
    while (this.#free.length === 0 && this.#problem === undefined) await this.#progress();
    this.#throwProblem();
    const buffers = this.#free.pop() as Buffers;
    assert(buffers.size === arrays.size, "A checkpoint holds the arrays that were announced.");
    const parts = new Map<string, Uint8Array<SharedArrayBuffer>>();
    for (const [name, buffer] of buffers) {
      const values = arrays.get(name);
      assert(values?.length === buffer.length, `The array ${name} should have ${buffer.length} values.`);
      buffer.set(values);
      parts.set(name, new Uint8Array(buffer.buffer));
    }
    this.#busy.push(buffers);
    this.#worker.postMessage({ step, parts, meta } satisfies WriteTask);
  }

  /** Resolves when all that was saved is durable. Errors: E_FILE. */
  async flush(): Promise<void> {
    while (this.#busy.length > 0 && this.#problem === undefined) await this.#progress();
    this.#throwProblem();
  }

  /** Flushes and ends the thread. Errors: E_FILE. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#worker.terminate();
    }
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #finish(problem: string | undefined): void {
    const done = this.#busy.shift();
    assert(done !== undefined, "The thread answers what it was asked.");
    this.#free.push(done);
    if (problem === undefined) this.#wake?.();
    else this.#fail(new ClawError("E_FILE", problem));
  }

  #fail(problem: ClawError): void {
    this.#problem ??= problem;
    this.#wake?.();
  }

  #throwProblem(): void {
    if (this.#problem !== undefined) throw this.#problem;
  }
}

function makeBuffers(sizes: ReadonlyMap<string, number>): Buffers {
  return new Map(
    [...sizes].map(([name, size]) => {
      const bytes = size * Float32Array.BYTES_PER_ELEMENT;
      // Filled, so that the system gives it its memory now and not during the first copy.
      return [name, new Float32Array(new SharedArrayBuffer(bytes)).fill(0)];
    }),
  );
}
