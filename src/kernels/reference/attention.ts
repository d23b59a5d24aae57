/** Attention over paged keys and values in chunks of 256 positions (arithmetic.md, "Attention"). */

import { assert } from "../../base/mod.ts";
import { ATTENTION_CHUNK, KV_PAGE_TOKENS, type KvFormat, type KvShape } from "../contract.ts";
import { sumLanes } from "./elementwise.ts";
import { exp, fma } from "./float.ts";

/** Keys and values, each [page][layer][head][position in page][headDim]; rounded to half where the format is f16. */
export class ReferenceKv {
  readonly shape: KvShape;
  readonly keys: Float32Array;
  readonly values: Float32Array;

  constructor(shape: KvShape) {
    this.shape = shape;
    const size = shape.pages * shape.layers * shape.heads * KV_PAGE_TOKENS * shape.headDim;
    this.keys = new Float32Array(size);
    this.values = new Float32Array(size);
  }

  /** Values of a page's keys, and of its values. */
  get pageLength(): number {
    const { layers, heads, headDim } = this.shape;
    return layers * heads * KV_PAGE_TOKENS * headDim;
  }

  /** A page's keys and values, as views. */
  page(page: number): readonly [keys: Float32Array, values: Float32Array] {
    assert(page >= 0 && page < this.shape.pages, `There is no KV page ${page}.`);
    const [first, end] = [page * this.pageLength, (page + 1) * this.pageLength];
    return [this.keys.subarray(first, end), this.values.subarray(first, end)];
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

/** Stores one vector in the cache's format; false when a value does not fit (zero is stored for it). */
export function storeKept(source: Float32Array, target: Float32Array, format: KvFormat): boolean {
  let fits = true;
  for (let d = 0; d < source.length; d++) {
    const value = source[d] as number;
    const kept = format === "f16" ? Math.f16round(value) : value;
    if (!Number.isFinite(kept)) fits = false;
    target[d] = Number.isFinite(kept) ? kept : 0;
  }
  return fits;
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
    const score = Math.fround(sum * chunk.scale);
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
    for (let d = 0; d < out.length; d++)
      out[d] = fma(weight, kv.values[value + d] as number, out[d] as number);
  }
  return sumLanes(lanes);
}

function vectorOffset(kv: ReferenceKv, place: AttentionPlace, position: number): number {
  const page = place.pages[Math.floor(position / KV_PAGE_TOKENS)] as number;
  return kv.offset(page, { layer: place.layer, head: place.head, position });
}
