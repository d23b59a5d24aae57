/**
 * Normal values drawn once and used again: matrices are runs of them from pseudo-random places. Drawing and encoding
 * a billion values would take a minute; copying encoded runs takes seconds.
 */

import { quantizeSource, type SourceType, sourceByteLength } from "../../tensor/mod.ts";
import { Generator } from "./generator.ts";

/** Runs begin at multiples of this many values, the largest block of any type. */
export const RUN_STEP = 32;
/** The longest run: long enough that copying, not choosing, takes the time. */
export const RUN_MAX = 512;
/** The number of places a run may begin at. */
export const RUN_STARTS: number = 2 ** 17;
const POOL_STREAM = 0;

let latest: { readonly seed: number; readonly pool: Pool } | undefined;

/** The pool of a seed; the latest is kept, since several models are often made with one. */
export function poolOf(seed: number): Pool {
  if (latest?.seed !== seed) latest = { seed, pool: new Pool(seed) };
  return latest.pool;
}

export class Pool {
  /** Standard normal values. */
  readonly values: Float32Array;
  readonly #encoded = new Map<string, Uint8Array>();

  constructor(seed: number) {
    const generator = new Generator(seed, POOL_STREAM);
    this.values = new Float32Array(RUN_STARTS * RUN_STEP + RUN_MAX);
    for (let i = 0; i < this.values.length; i++) this.values[i] = generator.gaussian();
  }

  /** All values times `deviation`, encoded; kept, since a model has only a handful of deviations. */
  encoded(type: SourceType, deviation: number): Uint8Array {
    const key = `${type} ${deviation}`;
    const known = this.#encoded.get(key);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(sourceByteLength(type, this.values.length));
    quantizeSource(
      type,
      this.values.map((value) => value * deviation),
      bytes,
    );
    this.#encoded.set(key, bytes);
    return bytes;
  }
}
