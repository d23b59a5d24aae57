/** I/O: a thread that hashes chunks; see `HashPool`. */

import { parentPort } from "node:worker_threads";
import { assert } from "../../base/mod.ts";
import { type ChunkTask, hashChunks } from "./chunks.ts";

export type HashReply = { readonly hashes: Uint8Array } | { readonly problem: string };

assert(parentPort !== null, "The hashing thread is started as a worker.");
const port = parentPort;

function reply(task: ChunkTask): HashReply {
  try {
    return { hashes: hashChunks(task) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

port.on("message", (task: ChunkTask) => port.postMessage(reply(task)));
