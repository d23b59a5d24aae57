/** The signed Hadamard rotation of segments, in place (arithmetic.md, "Rotation"). */

import { powerOfTwo } from "../../base/mod.ts";
import { rotationBlocks, rotationNegates } from "../../tensor/mod.ts";

/** Rotates one segment of activations. */
export function rotateActivations(segment: Float32Array): void {
  negate(segment);
  transform(segment, (power) => -Math.ceil(power / 2));
}

/** Rotates one segment of a row of weights. */
export function rotateWeights(segment: Float32Array): void {
  negate(segment);
  transform(segment, (power) => -Math.floor(power / 2));
}

/** Undoes `rotateWeights`, but for rounding. */
export function unrotateWeights(segment: Float32Array): void {
  transform(segment, (power) => -Math.ceil(power / 2));
  negate(segment);
}

function negate(segment: Float32Array): void {
  for (let k = 0; k < segment.length; k++) if (rotationNegates(k)) segment[k] = -(segment[k] as number);
}

/** Sums and differences within each block of 2^power values, then times 2^exponentOf(power). */
function transform(segment: Float32Array, exponentOf: (power: number) => number): void {
  for (const { first, power } of rotationBlocks(segment.length)) {
    const block = segment.subarray(first, first + (1 << power));
    for (let half = block.length / 2; half >= 1; half /= 2) addPairs(block, half);
    const factor = powerOfTwo(exponentOf(power));
    for (let k = 0; k < block.length; k++) block[k] = (block[k] as number) * factor;
  }
}

/** (a, b) becomes (a + b, a - b) for every pair at distance `half` within a run of twice that. */
function addPairs(block: Float32Array, half: number): void {
  for (let run = 0; run < block.length; run += 2 * half) {
    for (let i = run; i < run + half; i++) {
      const [a, b] = [block[i] as number, block[i + half] as number];
      block[i] = a + b;
      block[i + half] = a - b;
    }
  }
}
