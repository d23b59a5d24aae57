/** Messages that tell which they are, and how long tests wait for them. */

import type { Patience } from "../../../src/kernels/mod.ts";

export const PATIENCE: Patience = { spinMicros: 50, limitMs: 50_000 };

/** `size` bytes that depend on `index`. */
export function messageOf(size: number, index: number): Uint8Array {
  const message = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) message[i] = (i * 31 + index * 7 + (i >> 8)) & 0xff;
  return message;
}
