/** I/O: a thread that writes checkpoints; see `CheckpointWriter`. */

import { parentPort, workerData } from "node:worker_threads";
import { asClawError, assert } from "../../base/mod.ts";
import { CheckpointFolder } from "./folder-disk.ts";
import { writeCheckpoint } from "./store.ts";

export interface WriteTask {
  readonly step: number;
  readonly parts: ReadonlyMap<string, Uint8Array<SharedArrayBuffer>>;
  readonly meta: unknown;
}

/** What became of a task; tasks are answered in order. */
export interface WriteReply {
  /** Undefined: the checkpoint is durable. */
  readonly problem: string | undefined;
}

assert(parentPort !== null, "The thread of checkpoints is started as a worker.");
const port = parentPort;
const disk = new CheckpointFolder((workerData as { readonly folder: string }).folder);
let last: Promise<void> = Promise.resolve();

async function write(task: WriteTask): Promise<void> {
  const reply: WriteReply = await writeCheckpoint(disk, task).then(
    () => ({ problem: undefined }),
    (error: unknown) => ({ problem: asClawError(error).message }),
  );
  port.postMessage(reply);
}

port.on("message", (task: WriteTask) => {
  last = last.then(() => write(task));
});
