/** Attention over paged keys and values in chunks of 256 positions (arithmetic.md, "Attention"). */

import { assert } from "../../base/mod.ts";
import { ATTENTION_CHUNK, KV_PAGE_TOKENS, type KvFormat, type KvShape } from "../contract.ts";
import { sumLanes } from "./elementwise.ts";
import { exp, floatFromBits, fma, NOT_FINITE_BITS, roundHalfEven } from "./float.ts";
import { largestMagnitude } from "./quantize.ts";
import { TINY } from "./weights.ts";

/**
 * Keys and values, each [page][layer][head][position in page][headDim], as the format keeps them: rounded to half, or
 * whole numbers with a scale for each vector. Scales of the other formats are 1, which changes no product.
 */
export class ReferenceKv {
  readonly shape: KvShape;
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** [page][layer][head][position in page] */
  readonly keyScales: Float32Array;
  readonly valueScales: Float32Array;

  constructor(shape: KvShape) {
    this.shape = shape;
    const size = shape.pages * shape.layers * shape.heads * KV_PAGE_TOKENS * shape.headDim;
    this.keys = new Float32Array(size);
    this.values = new Float32Array(size);
    this.keyScales = new Float32Array(size / shape.headDim).fill(1);
    this.valueScales = new Float32Array(size / shape.headDim).fill(1);
  }

  /** What a page holds, as views: keys, values and the scales of both. */
  page(page: number): readonly Float32Array[] {
    assert(page >= 0 && page < this.shape.pages, `There is no KV page ${page}.`);
    return [this.keys, this.values, this.keyScales, this.valueScales].map((all) => {
      const length = all.length / this.shape.pages;
      return all.subarray(page * length, (page + 1) * length);
    });
  }

  /** The same, one head of one layer after the other. */
  *heads(page: number): Generator<Float32Array> {
    const parts = this.page(page);
    const slots = this.shape.layers * this.shape.heads;
    for (let slot = 0; slot < slots; slot++) {
      for (const part of parts) {
        const length = part.length / slots;
        yield part.subarray(slot * length, (slot + 1) * length);
      }
    }
  }

  /** Makes a page as it was at first; formats without scales leave them at 1. */
  clear(page: number): void {
    const [keys, values, ...scales] = this.page(page);
    for (const part of [keys, values]) part?.fill(0);
    for (const part of scales) part.fill(1);
  }

  /** Offset of a position's vector. */
  offset(page: number, place: { layer: number; head: number; position: number }): number {
    const { layers, heads, headDim } = this.shape;
    const slot = (page * layers + place.layer) * heads + place.head;
    return (slot * KV_PAGE_TOKENS + (place.position % KV_PAGE_TOKENS)) * headDim;
  }
}

/** Where a row's keys and values are: its position, layer, head and page table. */
export interface AttentionPlace {
  readonly layer: number;
  readonly head: number;
  readonly position: number;
  readonly pages: Int32Array;
}

/**
 * Stores one vector in the cache's format at `offset` of `target`; false when a value does not fit: zero is stored for it,
 * and for all of its vector where they share a scale.
 */
export function storeKept(
  source: Float32Array,
  format: KvFormat,
  { target, scales, offset }: { target: Float32Array; scales: Float32Array; offset: number },
): boolean {
  const kept = target.subarray(offset, offset + source.length);
  if (format === "i8") {
    const { scale, fits } = quantizeVector(source, kept);
    scales[offset / source.length] = scale;
    return fits;
  }
  let fits = true;
  for (let d = 0; d < source.length; d++) {
    const value = source[d] as number;
    const rounded = format === "f16" ? Math.f16round(value) : value;
    if (!Number.isFinite(rounded)) fits = false;
    kept[d] = Number.isFinite(rounded) ? rounded : 0;
  }
  return fits;
}

function quantizeVector(source: Float32Array, kept: Float32Array): { scale: number; fits: boolean } {
  const bits = largestMagnitude(source);
  const fits = bits < NOT_FINITE_BITS;
  const largest = floatFromBits(bits);
  if (!fits || largest < TINY) {
    kept.fill(0);
    return { scale: 0, fits };
  }
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  for (let d = 0; d < source.length; d++) {
    // The sum makes +0 of -0: bytes have one zero.
    kept[d] = roundHalfEven(Math.fround((source[d] as number) * reciprocal)) + 0;
  }
  return { scale, fits };
}

const scores = new Float32Array(ATTENTION_CHUNK);
const lanes = new Float32Array(16);

/** One query head over all positions up to its own. */
export function attendHead(
  kv: ReferenceKv,
  query: Float32Array,
  { place, scale, out }: { place: AttentionPlace; scale: number; out: Float32Array },
): void {
  const chunk = new Float32Array(out.length);
  let largest = 0;
  let total = 0;
  for (let first = 0; first <= place.position; first += ATTENTION_CHUNK) {
    const count = Math.min(ATTENTION_CHUNK, place.position + 1 - first);
    const top = scoreChunk(kv, query, { place, scale, first, count });
    const sum = weighChunk(kv, chunk, { place, top, first, count });
    if (first === 0) {
      largest = top;
      total = sum;
      out.set(chunk);
      continue;
    }
    const joint = Math.max(largest, top);
    const a = exp(Math.fround(largest - joint));
    const b = exp(Math.fround(top - joint));
    largest = joint;
    total = Math.fround(Math.fround(total * a) + Math.fround(sum * b));
    for (let d = 0; d < out.length; d++) {
      out[d] = Math.fround((out[d] as number) * a) + Math.fround((chunk[d] as number) * b);
    }
  }
  const inverse = Math.fround(1 / total);
  for (let d = 0; d < out.length; d++) out[d] = (out[d] as number) * inverse;
}

interface Chunk {
  readonly place: AttentionPlace;
  readonly first: number;
  readonly count: number;
}

/** Fills `scores`; returns the largest. */
function scoreChunk(kv: ReferenceKv, query: Float32Array, chunk: Chunk & { scale: number }): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < chunk.count; j++) {
    const key = vectorOffset(kv, chunk.place, chunk.first + j);
    let sum = 0;
    for (let d = 0; d < query.length; d++) sum = fma(query[d] as number, kv.keys[key + d] as number, sum);
    const scaled = Math.fround(sum * (kv.keyScales[key / query.length] as number));
    const score = Math.fround(scaled * chunk.scale);
    scores[j] = score;
    largest = Math.max(largest, score);
  }
  return largest;
}

/** Writes the chunk's weighted sum of values; returns the sum of the weights. */
function weighChunk(kv: ReferenceKv, out: Float32Array, chunk: Chunk & { top: number }): number {
  out.fill(0);
  lanes.fill(0);
  for (let j = 0; j < chunk.count; j++) {
    const weight = exp(Math.fround((scores[j] as number) - chunk.top));
    const lane = (chunk.first + j) & 15;
    lanes[lane] = (lanes[lane] as number) + weight;
    const value = vectorOffset(kv, chunk.place, chunk.first + j);
    const scaled = Math.fround(weight * (kv.valueScales[value / out.length] as number));
    for (let d = 0; d < out.length; d++)
      out[d] = fma(scaled, kv.values[value + d] as number, out[d] as number);
  }
  return sumLanes(lanes);
}

function vectorOffset(kv: ReferenceKv, place: AttentionPlace, position: number): number {
  const page = place.pages[Math.floor(position / KV_PAGE_TOKENS)] as number;
  return kv.offset(page, { layer: place.layer, head: place.head, position });
}
