/** The metadata of a random Llama: the keys llama.cpp requires, and the vocabulary. */

import type { GgufValue } from "../gguf/mod.ts";
import type { ModelShape } from "./presets.ts";
import { BEGIN_ID, END_ID, makeVocabulary, UNKNOWN_ID } from "./vocabulary.ts";

interface MetadataOptions {
  readonly name: string;
  /** llama.cpp's `llama_ftype`. */
  readonly fileType: number;
}

const NORM_EPSILON = 1e-5;
/** ggml's version of its block formats. */
const QUANTIZATION_VERSION = 2;

export function modelMetadata(shape: ModelShape, options: MetadataOptions): [string, GgufValue][] {
  return [
    ["general.architecture", text("llama")],
    ["general.name", text(options.name)],
    ["general.file_type", u32(options.fileType)],
    ["general.quantization_version", u32(QUANTIZATION_VERSION)],
    ["llama.vocab_size", u32(shape.vocabulary)],
    ["llama.context_length", u32(shape.context)],
    ["llama.embedding_length", u32(shape.width)],
    ["llama.block_count", u32(shape.layers)],
    ["llama.feed_forward_length", u32(shape.feedForward)],
    ["llama.attention.head_count", u32(shape.heads)],
    ["llama.attention.head_count_kv", u32(shape.keyValueHeads)],
    ["llama.attention.layer_norm_rms_epsilon", { type: "f32", value: NORM_EPSILON }],
    ["llama.rope.dimension_count", u32(shape.headWidth)],
    ["llama.rope.freq_base", { type: "f32", value: shape.ropeBase }],
    ...tokenizerMetadata(shape.vocabulary),
  ];
}

function tokenizerMetadata(size: number): [string, GgufValue][] {
  const vocabulary = makeVocabulary(size);
  return [
    ["tokenizer.ggml.model", text("llama")],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: vocabulary.tokens }],
    ["tokenizer.ggml.scores", { type: "array", of: "f32", value: vocabulary.scores }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: vocabulary.kinds }],
    ["tokenizer.ggml.bos_token_id", u32(BEGIN_ID)],
    ["tokenizer.ggml.eos_token_id", u32(END_ID)],
    ["tokenizer.ggml.unknown_token_id", u32(UNKNOWN_ID)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.add_eos_token", { type: "bool", value: false }],
  ];
}

function u32(value: number): GgufValue {
  return { type: "u32", value };
}

function text(value: string): GgufValue {
  return { type: "string", value };
}
