/** A learned byte-level vocabulary as the metadata of a model file. */

import { type GgufValue, Metadata, spellBytes } from "../../model/mod.ts";
import type { Merge } from "./byte-pairs.ts";
import { END_OF_TEXT } from "./documents.ts";

/** Metadata in the order of the file. */
export type MetadataEntries = readonly (readonly [key: string, value: GgufValue])[];

const NORMAL = 1;
const CONTROL = 3;
const BYTES = 256;

/** How text is cut into words, in GGUF's names: as GPT-2 does, which the engine and llama.cpp both implement. */
const PRE_TOKENIZER: readonly (readonly [string, GgufValue])[] = [
  ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
  ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
];

/** The pre-tokenizer's metadata alone, for counting words before there is a vocabulary. */
export const preTokenizerMetadata: Metadata = new Metadata(new Map(PRE_TOKENIZER));

/**
 * The tokens: the 256 bytes in their order, the merges in theirs, and last END_OF_TEXT, which begins a sequence, ends it, and
 * stands between documents. It is a control token: text that spells it does not become it.
 */
export function tokenizerMetadata(merges: readonly Merge[]): MetadataEntries {
  const spellings = Array.from({ length: BYTES }, (_, byte) => spellBytes(Uint8Array.of(byte)));
  const rules: string[] = [];
  for (const [left, right] of merges) {
    rules.push(`${spellings[left]!} ${spellings[right]!}`);
    spellings.push(spellings[left]! + spellings[right]!);
  }
  const end = spellings.length;
  const types = new Int32Array(end + 1).fill(NORMAL, 0, end).fill(CONTROL, end);
  return [
    ...PRE_TOKENIZER,
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: [...spellings, END_OF_TEXT] }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: types }],
    ["tokenizer.ggml.merges", { type: "array", of: "string", value: rules }],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: end }],
    ["tokenizer.ggml.eos_token_id", { type: "u32", value: end }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.add_eos_token", { type: "bool", value: false }],
  ];
}
