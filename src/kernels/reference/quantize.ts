/** Quantizing activation rows to int8 segments and groups (arithmetic.md, "Quantizing activations"). */

import { powerOfTwo } from "../../base/mod.ts";
import { GROUP } from "../../tensor/mod.ts";
import type { BufferSpec } from "../contract.ts";
import { floatFromBits, magnitudeBits, NOT_FINITE_BITS, roundHalfEven } from "./float.ts";
import { TINY } from "./weights.ts";

/** A quantized buffer: for each row, q [width], one scale per segment and one shift per group. */
export interface QuantizedBuffer {
  readonly spec: BufferSpec & { readonly kind: "quantized" };
  readonly segmentLength: number;
  readonly groupsPerSegment: number;
  readonly q: Int8Array;
  /** [row][segment]: the segment's scale times 2^-maxShift. */
  readonly scales: Float32Array;
  /** [row][segment][group]: maxShift minus the group's own shift, the left shift of its integer sum. */
  readonly lefts: Uint8Array;
}

export function quantizedBuffer(spec: QuantizedBuffer["spec"], rows: number): QuantizedBuffer {
  const segmentLength = spec.width / spec.segments;
  const groupsPerSegment = Math.ceil(segmentLength / GROUP);
  return {
    spec,
    segmentLength,
    groupsPerSegment,
    q: new Int8Array(rows * spec.width),
    scales: new Float32Array(rows * spec.segments),
    lefts: new Uint8Array(rows * spec.segments * groupsPerSegment),
  };
}

/** Quantizes one row; false when it held NaN or infinity (the segments concerned count as zeros). */
export function quantizeRow(source: Float32Array, buffer: QuantizedBuffer, row: number): boolean {
  let finite = true;
  for (let segment = 0; segment < buffer.spec.segments; segment++) {
    const first = segment * buffer.segmentLength;
    const values = source.subarray(first, first + buffer.segmentLength);
    if (!quantizeSegment(values, buffer, { row, segment })) finite = false;
  }
  return finite;
}

interface SegmentPlace {
  readonly row: number;
  readonly segment: number;
}

function quantizeSegment(values: Float32Array, buffer: QuantizedBuffer, place: SegmentPlace): boolean {
  const { row, segment } = place;
  const { maxShift, segments, width } = buffer.spec;
  const qFirst = row * width + segment * buffer.segmentLength;
  const groupFirst = (row * segments + segment) * buffer.groupsPerSegment;
  const largestBits = largestMagnitude(values);
  const finite = largestBits < NOT_FINITE_BITS;
  const largest = finite ? floatFromBits(largestBits) : 0;
  if (largest < TINY) {
    buffer.q.fill(0, qFirst, qFirst + values.length);
    buffer.lefts.fill(maxShift, groupFirst, groupFirst + buffer.groupsPerSegment);
    buffer.scales[row * segments + segment] = 0;
    return finite;
  }
  const scale = Math.fround(largest / 127);
  const reciprocal = Math.fround(1 / scale);
  buffer.scales[row * segments + segment] = scale * powerOfTwo(-maxShift);
  for (let group = 0; group < buffer.groupsPerSegment; group++) {
    const members = values.subarray(group * GROUP, (group + 1) * GROUP);
    const shift = groupShift(floatFromBits(largestMagnitude(members)), largest, maxShift);
    buffer.lefts[groupFirst + group] = maxShift - shift;
    const multiplier = reciprocal * powerOfTwo(shift);
    for (let k = 0; k < members.length; k++) {
      const product = Math.fround((members[k] as number) * multiplier);
      buffer.q[qFirst + group * GROUP + k] = roundHalfEven(product);
    }
  }
  return true;
}

/** The largest e in [0, maxShift] with own * 2^e <= segment's. */
function groupShift(own: number, segmentLargest: number, maxShift: number): number {
  let shift = 0;
  while (shift < maxShift && own * powerOfTwo(shift + 1) <= segmentLargest) shift++;
  return shift;
}

/** The largest magnitude as a bit pattern: NaN and infinity are the largest. */
export function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (let k = 0; k < values.length; k++) largest = Math.max(largest, magnitudeBits(values[k] as number));
  return largest;
}
