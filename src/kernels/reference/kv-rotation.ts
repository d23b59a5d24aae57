/** Rotating queries and keys where keys are kept as bytes (arithmetic.md, "Attention"). */

import { powerOfTwo } from "../../base/mod.ts";

/** Blocks of powers of two, the largest first, each transformed and divided by the root of its length, rounded down. */
export function rotateKey(key: Float32Array): Float32Array {
  return rotate(key, Math.floor);
}

/** The same with the root rounded up: the product of a rotated query and a rotated key is that of the two. */
export function rotateQuery(query: Float32Array): Float32Array {
  return rotate(query, Math.ceil);
}

function rotate(vector: Float32Array, round: (half: number) => number): Float32Array {
  const rotated = vector.slice();
  for (let first = 0; first < rotated.length; ) {
    const power = 31 - Math.clz32(rotated.length - first);
    const block = rotated.subarray(first, first + (1 << power));
    transform(block);
    const factor = powerOfTwo(-round(power / 2));
    for (let i = 0; i < block.length; i++) block[i] = (block[i] as number) * factor;
    first += block.length;
  }
  return rotated;
}

function transform(block: Float32Array): void {
  for (let distance = 1; distance < block.length; distance *= 2) {
    for (let first = 0; first < block.length; first += 2 * distance) {
      for (let i = first; i < first + distance; i++) {
        const a = block[i] as number;
        const b = block[i + distance] as number;
        block[i] = a + b;
        block[i + distance] = a - b;
      }
    }
  }
}
