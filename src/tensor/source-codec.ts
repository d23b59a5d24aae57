/**
 * Decoding and encoding of the source types, bit for bit as ggml's reference functions define them
 * (`dequantize_row_*`, `quantize_row_*_ref`). A Q8_0 block is an f16 scale and 32 signed bytes; a Q4_0 block is an f16
 * scale and 16 bytes whose low nibbles are elements 0 to 15 and whose high nibbles are elements 16 to 31, each
 * offset by 8.
 */

import { assert } from "../base/mod.ts";
import { blockLayout, type SourceType, sourceByteLength } from "./dtype.ts";
import { bf16ToF32, f16Values, f32ToBf16Bits, f32ToF16Bits } from "./half.ts";

type Decode = (bytes: Uint8Array, out: Float32Array) => void;
type Encode = (values: Float32Array, out: Uint8Array) => void;

const BLOCK = blockLayout("Q8_0").elements;
const HALF_BLOCK = BLOCK / 2;
const Q8_BYTES = blockLayout("Q8_0").bytes;
const Q4_BYTES = blockLayout("Q4_0").bytes;

const decoders: Readonly<Record<SourceType, Decode>> = {
  F32: (bytes, out) => bytesOf(out).set(bytes),
  F16: decodeF16,
  BF16: decodeBf16,
  Q8_0: decodeQ8,
  Q4_0: decodeQ4,
};

const encoders: Readonly<Record<SourceType, Encode>> = {
  F32: (values, out) => out.set(bytesOf(values)),
  F16: (values, out) => out.set(bytesOf(Float16Array.from(values))),
  BF16: encodeBf16,
  Q8_0: encodeQ8,
  Q4_0: encodeQ4,
};

/** Decodes `bytes` into `out`; `out.length` is a whole number of blocks and `bytes` exactly their size. */
export function dequantize(type: SourceType, bytes: Uint8Array, out: Float32Array): void {
  const expected = sourceByteLength(type, out.length);
  assert(
    bytes.length === expected,
    `${out.length} ${type} elements are ${expected} bytes, not ${bytes.length}.`,
  );
  decoders[type](bytes, out);
}

/** Encodes `values` (a whole number of blocks, finite) into `out`, which is exactly their encoded size. */
export function quantizeSource(type: SourceType, values: Float32Array, out: Uint8Array): void {
  const expected = sourceByteLength(type, values.length);
  assert(
    out.length === expected,
    `${values.length} ${type} elements are ${expected} bytes, not ${out.length}.`,
  );
  encoders[type](values, out);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The bytes as 16-bit words: a view where they are aligned, else a copy. */
function wordsOf(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2);
}

function decodeF16(bytes: Uint8Array, out: Float32Array): void {
  const words = wordsOf(bytes);
  for (let i = 0; i < out.length; i++) out[i] = f16Values[words[i] as number] as number;
}

function decodeBf16(bytes: Uint8Array, out: Float32Array): void {
  const words = wordsOf(bytes);
  for (let i = 0; i < out.length; i++) out[i] = bf16ToF32(words[i] as number);
}

function encodeBf16(values: Float32Array, out: Uint8Array): void {
  out.set(bytesOf(Uint16Array.from(values, f32ToBf16Bits)));
}

function readScale(bytes: Uint8Array, offset: number): number {
  return f16Values[(bytes[offset] as number) | ((bytes[offset + 1] as number) << 8)] as number;
}

function writeScale(out: Uint8Array, offset: number, scale: number): void {
  const bits = f32ToF16Bits(scale);
  out[offset] = bits & 0xff;
  out[offset + 1] = bits >>> 8;
}

function decodeQ8(bytes: Uint8Array, out: Float32Array): void {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let start = 0, offset = 0; start < out.length; start += BLOCK, offset += Q8_BYTES) {
    const scale = readScale(bytes, offset);
    for (let i = 0; i < BLOCK; i++) out[start + i] = (signed[offset + 2 + i] as number) * scale;
  }
}

function decodeQ4(bytes: Uint8Array, out: Float32Array): void {
  for (let start = 0, offset = 0; start < out.length; start += BLOCK, offset += Q4_BYTES) {
    const scale = readScale(bytes, offset);
    for (let i = 0; i < HALF_BLOCK; i++) {
      const pair = bytes[offset + 2 + i] as number;
      out[start + i] = ((pair & 15) - 8) * scale;
      out[start + i + HALF_BLOCK] = ((pair >>> 4) - 8) * scale;
    }
  }
}

/** The element of the largest magnitude in a block, sign kept; the first of equals. */
function extreme(values: Float32Array, start: number): number {
  let found = 0;
  for (let i = start; i < start + BLOCK; i++) {
    const value = values[i] as number;
    if (Math.abs(value) > Math.abs(found)) found = value;
  }
  return found;
}

/** 1/scale in f32, or 0 for a block of zeros. The scale is not yet rounded to f16 here: ggml does it in this order. */
function reciprocal(scale: number): number {
  return scale === 0 ? 0 : Math.fround(1 / scale);
}

/** C's roundf: halves go away from zero. The sum is exact, since an f32 and one half fit in an f64. */
function roundAway(value: number): number {
  return Math.trunc(value + (value < 0 ? -0.5 : 0.5));
}

function encodeQ8(values: Float32Array, out: Uint8Array): void {
  for (let start = 0, offset = 0; start < values.length; start += BLOCK, offset += Q8_BYTES) {
    const scale = Math.fround(Math.abs(extreme(values, start)) / 127);
    const inverse = reciprocal(scale);
    writeScale(out, offset, scale);
    for (let i = 0; i < BLOCK; i++) {
      out[offset + 2 + i] = roundAway(Math.fround((values[start + i] as number) * inverse));
    }
  }
}

/** One element as a nibble: scaled, moved up by 8, rounded half up, at most 15. */
function nibble(value: number, inverse: number): number {
  return Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
}

function encodeQ4(values: Float32Array, out: Uint8Array): void {
  for (let start = 0, offset = 0; start < values.length; start += BLOCK, offset += Q4_BYTES) {
    const scale = Math.fround(extreme(values, start) / -8);
    const inverse = reciprocal(scale);
    writeScale(out, offset, scale);
    for (let i = 0; i < HALF_BLOCK; i++) {
      const low = nibble(values[start + i] as number, inverse);
      const high = nibble(values[start + i + HALF_BLOCK] as number, inverse);
      out[offset + 2 + i] = low | (high << 4);
    }
  }
}
