/** Quantizing activation rows to int8, segment by segment (arithmetic.md, "Quantizing activations"). */

import { SCALE_GROUP, scalesPerSegment } from "../../tensor/mod.ts";
import type { BufferSpec } from "../contract.ts";
import { floatFromBits, magnitudeBits, NOT_FINITE_BITS, roundHalfEven } from "./float.ts";
import { rotateActivations } from "./rotate.ts";
import { TINY } from "./weights.ts";

/** A quantized buffer: for each row, q [width] and the scales of its segments. */
export interface QuantizedBuffer {
  readonly spec: BufferSpec & { readonly kind: "quantized" };
  readonly segmentLength: number;
  readonly q: Int8Array;
  /** [row][segment][scales of a segment] */
  readonly scales: Float32Array;
}

export function quantizedBuffer(spec: QuantizedBuffer["spec"], rows: number): QuantizedBuffer {
  return {
    spec,
    segmentLength: spec.width / spec.segments,
    q: new Int8Array(rows * spec.width),
    scales: new Float32Array(
      rows * spec.segments * scalesPerSegment(spec.format, spec.width / spec.segments),
    ),
  };
}

/** Quantizes one row; false when it held NaN or infinity (the segments concerned count as zeros). */
export function quantizeRow(source: Float32Array, buffer: QuantizedBuffer, row: number): boolean {
  const { segmentLength, spec } = buffer;
  let finite = true;
  for (let segment = 0; segment < spec.segments; segment++) {
    const values = source.slice(segment * segmentLength, (segment + 1) * segmentLength);
    const place = row * spec.segments + segment;
    const q = buffer.q.subarray(place * segmentLength, (place + 1) * segmentLength);
    const count = scalesPerSegment(spec.format, segmentLength);
    const scales = buffer.scales.subarray(place * count, (place + 1) * count);
    finite = quantizeSegment(values, q, scales) && finite;
  }
  return finite;
}

/** Rotates `values` and fills `q` and `scales`; false, and zeros, when they are not finite. */
function quantizeSegment(values: Float32Array, q: Int8Array, scales: Float32Array): boolean {
  rotateActivations(values);
  q.fill(0);
  scales.fill(0);
  if (largestMagnitude(values) >= NOT_FINITE_BITS) return false;
  const length = scales.length === 1 ? values.length : SCALE_GROUP;
  for (let g = 0; g < scales.length; g++) {
    const [first, end] = [g * length, (g + 1) * length];
    scales[g] = quantizeRun(values.subarray(first, end), q.subarray(first, end));
  }
  return true;
}

/** Rounds values that share a scale, which it returns. */
function quantizeRun(values: Float32Array, q: Int8Array): number {
  const largest = floatFromBits(largestMagnitude(values));
  if (largest < TINY) return 0;
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  for (let k = 0; k < q.length; k++) {
    q[k] = roundHalfEven(Math.fround((values[k] as number) * reciprocal));
  }
  return scale;
}

/** The largest magnitude as a bit pattern: NaN and infinity are the largest. */
export function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (let k = 0; k < values.length; k++) largest = Math.max(largest, magnitudeBits(values[k] as number));
  return largest;
}
