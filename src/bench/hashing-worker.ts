/** I/O: a thread that hashes memory for as long as it is told to, and says how many bytes in a second. */

import { hash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { assert } from "../base/mod.ts";

/** As a seal's chunks; several of them, so that they do not all lie in the nearest cache. */
const CHUNK_BYTES = 1024 * 1024;
const CHUNKS = 32;

assert(parentPort !== null, "The hashing thread is started as a worker.");
const port = parentPort;
const memory = new Uint8Array(CHUNKS * CHUNK_BYTES).fill(7);

port.on("message", (forMs: number) => {
  const start = performance.now();
  let bytes = 0;
  while (performance.now() - start < forMs) {
    const first = bytes % memory.length;
    hash("sha256", memory.subarray(first, first + CHUNK_BYTES), "buffer");
    bytes += CHUNK_BYTES;
  }
  port.postMessage((bytes / (performance.now() - start)) * 1000);
});
