/** The metadata of a random Llama: the keys llama.cpp requires, and the vocabulary. */

import { llamaMetadata, type ModelDescription } from "../architecture/mod.ts";
import type { GgufValue } from "../gguf/mod.ts";
import { type ModelShape, type PresetName, presets } from "./presets.ts";
import { BEGIN_ID, END_ID, makeVocabulary, UNKNOWN_ID } from "./vocabulary.ts";

interface MetadataOptions {
  readonly name: string;
  /** llama.cpp's `llama_ftype`. */
  readonly fileType: number;
}

const NORM_EPSILON = 1e-5;

export function modelMetadata(shape: ModelShape, options: MetadataOptions): [string, GgufValue][] {
  return [
    ...llamaMetadata(described(shape, options.name), options.fileType),
    ...tokenizerMetadata(shape.vocabulary),
  ];
}

/** The model of a preset, without its file. */
export function describePreset(preset: PresetName): ModelDescription {
  return described(presets[preset], preset);
}

function described(shape: ModelShape, name: string): ModelDescription {
  const { layers, width, heads, vocabulary, context } = shape;
  return {
    ...{ architecture: "llama", name, layers, width, heads, vocabulary, context },
    kvHeads: shape.keyValueHeads,
    headDim: shape.headWidth,
    ffnWidth: shape.feedForward,
    normEpsilon: NORM_EPSILON,
    // Llama 3's scaling is a tensor.
    rope: { pairs: "adjacent", base: shape.ropeBase, positionDivisor: 1, frequencyDivisors: undefined },
    tiedOutput: shape.tied,
  };
}

function tokenizerMetadata(size: number): [string, GgufValue][] {
  const vocabulary = makeVocabulary(size);
  return [
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
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
