/** Keeping a run's state while it goes on. */

export { loadCheckpoint } from "./load.ts";
export { type Checkpoint, CheckpointWriter, sizesOf } from "./writer.ts";
