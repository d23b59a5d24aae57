/** Digests of a file's tensors, by all threads of a hasher. */

import type { FileHasher } from "../../kernels/mod.ts";
import type { TensorInfo } from "../gguf/mod.ts";
import { grouped } from "./hasher.ts";
import { CHUNK_BYTES } from "./limits.ts";
import { HASH_BYTES, tensorDigest } from "./tree.ts";

interface Hashing {
  readonly hasher: FileHasher;
  /** Of the open model file. */
  readonly descriptor: number;
  /** Told how many bytes more were hashed. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** A part of the file that one tensor or several have as their bytes. */
interface SharedRange {
  readonly offset: number;
  readonly length: number;
  readonly tensors: TensorInfo[];
}

/**
 * The digests of tensors in hexadecimal, in their order. Bytes that tensors share are read once: a model of one layer that stands
 * for eighty is hashed as fast as it is small. Errors: E_FILE.
 */
export async function digestTensors(
  tensors: readonly TensorInfo[],
  { hasher, descriptor, onBytes }: Hashing,
): Promise<string[]> {
  const digests = new Map<TensorInfo, string>();
  const hashing = grouped(sharedRanges(tensors)).map(async (group) => {
    const hashes = await hasher.hash(descriptor, group);
    onBytes?.(group.reduce((sum, { length, tensors: owners }) => sum + length * owners.length, 0));
    let place = 0;
    for (const { length, tensors: owners } of group) {
      const first = place;
      place += HASH_BYTES * Math.ceil(length / CHUNK_BYTES);
      for (const tensor of owners) digests.set(tensor, tensorDigest(tensor, hashes.subarray(first, place)));
    }
  });
  await Promise.all(hashing);
  return tensors.map((tensor) => digests.get(tensor) as string);
}

function sharedRanges(tensors: readonly TensorInfo[]): SharedRange[] {
  const ranges = new Map<string, SharedRange>();
  for (const tensor of tensors) {
    const { offset, byteLength: length } = tensor;
    const key = `${offset} ${length}`;
    const known = ranges.get(key);
    if (known === undefined) ranges.set(key, { offset, length, tensors: [tensor] });
    else known.tensors.push(tensor);
  }
  return [...ranges.values()];
}
