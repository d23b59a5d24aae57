/** A description as the metadata of a `llama` file: what `describeLlama` reads, written. */

import { assert } from "../../base/mod.ts";
import type { GgufValue } from "../gguf/mod.ts";
import type { ModelDescription } from "./description.ts";

/** ggml's version of its block formats. */
const QUANTIZATION_VERSION = 2;

/** The keys that llama.cpp requires, but for the tokenizer's; `fileType` is llama.cpp's `llama_ftype`. */
export function llamaMetadata(model: ModelDescription, fileType: number): [string, GgufValue][] {
  assert(model.architecture === "llama" && model.rope.pairs === "adjacent", "Only llamas are written.");
  return [
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.name", { type: "string", value: model.name }],
    ["general.file_type", u32(fileType)],
    ["general.quantization_version", u32(QUANTIZATION_VERSION)],
    ["llama.vocab_size", u32(model.vocabulary)],
    ["llama.context_length", u32(model.context)],
    ["llama.embedding_length", u32(model.width)],
    ["llama.block_count", u32(model.layers)],
    ["llama.feed_forward_length", u32(model.ffnWidth)],
    ["llama.attention.head_count", u32(model.heads)],
    ["llama.attention.head_count_kv", u32(model.kvHeads)],
    ["llama.attention.layer_norm_rms_epsilon", f32(model.normEpsilon)],
    ...headWidths(model),
    ["llama.rope.dimension_count", u32(model.headDim)],
    ["llama.rope.freq_base", f32(model.rope.base)],
    ...ropeScaling(model),
  ];
}

/** Where they are not what width and heads say. */
function headWidths({ width, heads, headDim }: ModelDescription): [string, GgufValue][] {
  if (width === heads * headDim) return [];
  return [
    ["llama.attention.key_length", u32(headDim)],
    ["llama.attention.value_length", u32(headDim)],
  ];
}

function ropeScaling({ rope }: ModelDescription): [string, GgufValue][] {
  if (rope.positionDivisor === 1) return [];
  return [
    ["llama.rope.scaling.type", { type: "string", value: "linear" }],
    ["llama.rope.scaling.factor", f32(rope.positionDivisor)],
  ];
}

function u32(value: number): GgufValue {
  return { type: "u32", value };
}

function f32(value: number): GgufValue {
  return { type: "f32", value };
}
