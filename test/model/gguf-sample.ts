/** A small valid file with every kind of value and every tensor type. */

import {
  encodeGguf,
  type GgufContent,
  type GgufValue,
  type TensorContent,
} from "../../src/model/gguf/mod.ts";
import { type SourceType, sourceByteLength } from "../../src/tensor/mod.ts";

export function tensor(name: string, type: SourceType, shape: readonly number[]): TensorContent {
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  const bytes = Uint8Array.from({ length: sourceByteLength(type, elements) }, (_, i) => (i * 7 + 1) & 255);
  return { name, type, shape, data: () => [bytes] };
}

export const sampleMetadata: readonly [string, GgufValue][] = [
  ["general.architecture", { type: "string", value: "llama" }],
  ["general.alignment", { type: "u32", value: 32 }],
  ["a.u8", { type: "u8", value: 255 }],
  ["a.i8", { type: "i8", value: -128 }],
  ["a.u16", { type: "u16", value: 65_535 }],
  ["a.i16", { type: "i16", value: -32_768 }],
  ["a.i32", { type: "i32", value: -(2 ** 31) }],
  ["a.f32", { type: "f32", value: 0.5 }],
  ["a.f64", { type: "f64", value: Math.PI }],
  ["a.u64", { type: "u64", value: 2 ** 53 - 1 }],
  ["a.u64.large", { type: "u64", value: 2n ** 64n - 1n }],
  ["a.i64", { type: "i64", value: -3 }],
  ["a.yes", { type: "bool", value: true }],
  ["a.tokens", { type: "array", of: "string", value: ["<unk>", "", "\ufeff", "▁the", "日本"] }],
  ["a.scores", { type: "array", of: "f32", value: Float32Array.of(0, -1, -2.5) }],
  ["a.types", { type: "array", of: "i32", value: Int32Array.of(1, 2, -3) }],
  ["a.longs", { type: "array", of: "u64", value: BigUint64Array.of(1n, 2n ** 40n) }],
  ["a.flags", { type: "array", of: "bool", value: Uint8Array.of(1, 0, 1) }],
  ["a.empty", { type: "array", of: "u8", value: new Uint8Array(0) }],
];

export const sampleTensors: readonly TensorContent[] = [
  tensor("token_embd.weight", "F16", [8, 3]),
  tensor("blk.0.attn_q.weight", "Q8_0", [64, 2]),
  tensor("blk.0.attn_k.weight", "Q4_0", [32, 3]),
  tensor("blk.0.attn_norm.weight", "F32", [5]),
  tensor("blk.0.conv.weight", "BF16", [2, 3, 2, 1]),
];

export const sample: GgufContent = { metadata: sampleMetadata, tensors: sampleTensors };

export function sampleFile(): Uint8Array {
  return encodeGguf(sample);
}
