/** I/O: how fast the machine computes SHA-256 with node:crypto on all cores, out of memory. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

/** How long a measurement is. */
export const HASHING_MS = 500;

export class HashingCeiling {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** Starts a thread for each core. The caller closes it. */
  static async start(): Promise<HashingCeiling> {
    const script = new URL("./hashing-worker.ts", import.meta.url);
    const ceiling = new HashingCeiling(
      Array.from({ length: availableParallelism() }, () => new Worker(script)),
    );
    await ceiling.measure(); // warms the threads up
    return ceiling;
  }

  get threads(): number {
    return this.#workers.length;
  }

  /** Bytes in a second of all threads at once. */
  async measure(): Promise<number> {
    const rates = this.#workers.map((worker) => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      worker.once("message", resolve).once("error", reject);
      worker.postMessage(HASHING_MS);
      return promise;
    });
    return (await Promise.all(rates)).reduce((sum, rate) => sum + rate, 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
