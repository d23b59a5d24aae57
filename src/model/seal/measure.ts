/** I/O: the seal of a model file as it lies on the disk. */

import { closeSync, openSync } from "node:fs";
import { at, ClawError } from "../../base/mod.ts";
import { openModelFile } from "../open.ts";
import { openHasher } from "./hasher.ts";
import { digestTensors } from "./tensors.ts";
import { topologyOf } from "./topology.ts";
import { type ModelSeal, sealOf } from "./tree.ts";

/** Reads and hashes all of a model file on all cores. Errors: E_FILE, and those of a model that cannot be run. */
export async function measureSeal(path: string, onProgress?: (fraction: number) => void): Promise<ModelSeal> {
  const file = openModelFile(path);
  const hasher = openHasher();
  const descriptor = openDescriptor(path);
  try {
    const tensors = [...file.gguf.tensors.values()];
    const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.(done / total);
    };
    // The threads hash tensors while this one looks at the rest.
    const hashing = digestTensors(tensors, { hasher, descriptor, onBytes });
    const [topology, digests] = await Promise.all([read(() => topologyOf(file)), hashing]);
    return sealOf(topology, new Map(tensors.map(({ name }, i) => [name, at(digests, i)])));
  } finally {
    hasher.close();
    closeSync(descriptor);
    file.close();
  }
}

/** So that an error waits its turn beside other work's. */
async function read<T>(work: () => T): Promise<T> {
  return work();
}

/** Errors: E_FILE. */
export function openDescriptor(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot open ${path}: ${reason}.`, { cause: error });
  }
}
