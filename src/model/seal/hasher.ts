/** I/O: hashing with the native core's threads where there is one, else on this thread. */

import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { type FileHasher, type FileRange, nativeAvailable, openNativeDevice } from "../../kernels/mod.ts";
import { hashChunks } from "./chunks.ts";
import { GROUP_BYTES } from "./limits.ts";

/** A hasher that somebody opened, and closes. */
export interface OpenHasher extends FileHasher {
  close(): void;
}

/** Threads of its own, one for each core, or none without a native core. */
export function openHasher(): OpenHasher {
  if (!nativeAvailable()) return { ...plainHasher, close: () => {} };
  const device = openNativeDevice({ threads: availableParallelism() });
  return { hash: device.files?.hash ?? plainHasher.hash, close: () => device.close() };
}

/** As good, but on this thread alone; others get their turn between the groups. */
export const plainHasher: FileHasher = {
  hash: async (descriptor, ranges, into) => {
    const hashes: Uint8Array[] = [];
    let place = 0;
    for (const { offset, length } of ranges) {
      for (let done = 0; done < length; done += GROUP_BYTES) {
        const count = Math.min(GROUP_BYTES, length - done);
        const kept = into?.subarray(place, place + count);
        hashes.push(hashChunks({ descriptor, offset: offset + done, length: count }, kept));
        place += count;
        await setImmediate();
      }
    }
    return new Uint8Array(Buffer.concat(hashes));
  },
};

/** Ranges in groups of about GROUP_BYTES, each with at least one, so that progress can be told. */
export function grouped<R extends FileRange>(ranges: readonly R[]): R[][] {
  const groups: R[][] = [];
  let bytes = GROUP_BYTES;
  for (const range of ranges) {
    if (bytes >= GROUP_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(range);
    bytes += range.length;
  }
  return groups;
}
