/** Looks at resident weights again and again: what was loaded must stay what it was, or the memory is at fault. */

import { at } from "../base/mod.ts";
import type { PackedMatrices } from "../kernels/mod.ts";
import { SCRUB_BLOCK_BYTES } from "./limits.ts";

interface Block {
  /** The tensor that it is of. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly checksum: string;
}

export class Scrubber {
  readonly #packed: PackedMatrices;
  readonly #blocks: Block[] = [];
  #next = 0;

  constructor(packed: PackedMatrices) {
    this.#packed = packed;
  }

  /** Bytes that are looked at. */
  get bytes(): number {
    return this.#blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Notes what a matrix is right after it was loaded. */
  add(name: string, id: number): void {
    const whole = this.#packed.bytes(id);
    for (let first = 0; first < whole.length; first += SCRUB_BLOCK_BYTES) {
      const bytes = whole.subarray(first, first + SCRUB_BLOCK_BYTES);
      this.#blocks.push({ name, bytes, checksum: this.#packed.checksum(bytes) });
    }
  }

  /** Looks at the next block; `damaged` is the tensor whose weights changed. A tenth of a millisecond. */
  step(): { readonly bytes: number; readonly damaged: string | undefined } {
    if (this.#blocks.length === 0) return { bytes: 0, damaged: undefined };
    const { name, bytes, checksum } = at(this.#blocks, this.#next);
    this.#next = (this.#next + 1) % this.#blocks.length;
    return { bytes: bytes.length, damaged: this.#packed.checksum(bytes) === checksum ? undefined : name };
  }
}
