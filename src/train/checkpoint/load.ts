/** Reads a run's newest checkpoint. */

import { ClawError } from "../../base/mod.ts";
import { CheckpointFolder } from "./folder-disk.ts";
import { readCheckpoint } from "./store.ts";
import type { Checkpoint } from "./writer.ts";

/** The newest whole checkpoint in a run's folder; undefined where there is none. Errors: E_FILE, E_CHECKPOINT. */
export async function loadCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const found = await readCheckpoint(new CheckpointFolder(folder));
  if (found === undefined) return undefined;
  const { step, parts, meta } = found;
  return { step, meta, arrays: new Map([...parts].map(([name, part]) => [name, floats(part, name)])) };
}

function floats(part: Uint8Array, name: string): Float32Array {
  const { BYTES_PER_ELEMENT } = Float32Array;
  if (part.length % BYTES_PER_ELEMENT !== 0) {
    throw new ClawError(
      "E_CHECKPOINT",
      `The checkpoint's part ${name} has ${part.length} bytes, no array of f32.`,
    );
  }
  // Read files lie anywhere in memory; arrays of floats do not.
  return new Float32Array(new Uint8Array(part).buffer);
}
