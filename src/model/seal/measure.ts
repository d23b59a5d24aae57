/** I/O: the seal of a model file as it lies on the disk. */

import { closeSync, openSync } from "node:fs";
import { ClawError } from "../../base/mod.ts";
import { openModelFile } from "../open.ts";
import { HashPool } from "./hash-pool.ts";
import { topologyOf } from "./topology.ts";
import { type ModelSeal, sealOf, tensorDigest } from "./tree.ts";

/** Reads and hashes all of a model file on all cores. Errors: E_FILE, and those of a model that cannot be run. */
export async function measureSeal(path: string, onProgress?: (fraction: number) => void): Promise<ModelSeal> {
  const file = openModelFile(path);
  const pool = new HashPool();
  const descriptor = openDescriptor(path);
  try {
    const topology = topologyOf(file);
    const tensors = [...file.gguf.tensors.values()];
    const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    let done = 0;
    const digests = tensors.map(async (tensor) => {
      const { name, offset, byteLength: length } = tensor;
      const hashes = await pool.hash({ descriptor, offset, length });
      done += length;
      onProgress?.(done / total);
      return [name, tensorDigest(tensor, hashes)] as const;
    });
    return sealOf(topology, new Map(await Promise.all(digests)));
  } finally {
    await pool.close();
    closeSync(descriptor);
    file.close();
  }
}

export function openDescriptor(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot open ${path}: ${reason}.`, { cause: error });
  }
}
