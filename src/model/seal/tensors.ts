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

/** The digests of tensors in hexadecimal, in their order. Errors: E_FILE. */
export async function digestTensors(
  tensors: readonly TensorInfo[],
  { hasher, descriptor, onBytes }: Hashing,
): Promise<string[]> {
  const ranges = tensors.map((tensor) => ({ tensor, offset: tensor.offset, length: tensor.byteLength }));
  const digests = grouped(ranges).map(async (group) => {
    const hashes = await hasher.hash(descriptor, group);
    onBytes?.(group.reduce((sum, { length }) => sum + length, 0));
    let place = 0;
    return group.map(({ tensor, length }) => {
      const first = place;
      place += HASH_BYTES * Math.ceil(length / CHUNK_BYTES);
      return tensorDigest(tensor, hashes.subarray(first, place));
    });
  });
  return (await Promise.all(digests)).flat();
}
