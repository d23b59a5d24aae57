/**
 * Tokenizers: learned from a corpus, and kept as GGUF files without tensors, which the engine's own tokenizer and llama.cpp read.
 */

import { createHash } from "node:crypto";
import { ClawError } from "../../base/mod.ts";
import {
  bytesSource,
  createTokenizer,
  encodeGguf,
  type GgufValue,
  readGguf,
  readPreTokenizer,
  type Tokenizer,
} from "../../model/mod.ts";
import { learnMerges } from "./byte-pairs.ts";
import { VOCABULARY_MAX, VOCABULARY_MIN } from "./limits.ts";
import { type MetadataEntries, preTokenizerMetadata, tokenizerMetadata } from "./tokenizer-metadata.ts";
import { WordCounts } from "./word-counts.ts";

/** A tokenizer, and what a model file says of it. */
export interface NamedTokenizer {
  readonly tokenizer: Tokenizer;
  /** Its keys, `tokenizer.` and on. */
  readonly metadata: MetadataEntries;
  /** SHA-256 of its file in hexadecimal digits. */
  readonly digest: string;
}

export interface TokenizerOptions {
  /** Tokens in all. */
  readonly vocabulary: number;
  /** Told how much of the merging is done. */
  onProgress?(done: number, total: number): void;
}

/** Bytes and END_OF_TEXT, which are not learned. */
const GIVEN = 257;

/** Learns a tokenizer; its GGUF file. Errors: E_USAGE; E_CORPUS for a corpus that has not that many tokens in it. */
export function trainTokenizer(documents: Iterable<string>, options: TokenizerOptions): Uint8Array {
  const { vocabulary, onProgress } = options;
  if (!(vocabulary >= VOCABULARY_MIN && vocabulary <= VOCABULARY_MAX)) {
    const range = `from ${VOCABULARY_MIN} to ${VOCABULARY_MAX}`;
    throw new ClawError("E_USAGE", `A vocabulary of ${vocabulary} tokens was asked for; it can be ${range}.`);
  }
  const words = new WordCounts(readPreTokenizer(preTokenizerMetadata));
  for (const document of documents) words.add(document);
  const merges = learnMerges(words.entries(), {
    merges: vocabulary - GIVEN,
    ...(onProgress && { onProgress }),
  });
  if (merges.length < vocabulary - GIVEN) {
    const found = `the corpus has pairs for ${GIVEN + merges.length} tokens`;
    throw new ClawError("E_CORPUS", `A vocabulary of ${vocabulary} was asked for; ${found}.`);
  }
  return encodeTokenizer(tokenizerMetadata(merges));
}

function encodeTokenizer(metadata: MetadataEntries): Uint8Array {
  // llama.cpp wants to know the architecture before it looks at the vocabulary.
  const architecture: readonly [string, GgufValue] = [
    "general.architecture",
    { type: "string", value: "llama" },
  ];
  return encodeGguf({ metadata: [architecture, ...metadata], tensors: [] });
}

/** Reads the file of a tokenizer, or of a model with one; `name` is what messages call it. Errors: E_GGUF, E_GGUF_LIMIT, E_TOKENIZER. */
export function readTokenizer(bytes: Uint8Array, name: string): NamedTokenizer {
  const { metadata } = readGguf(bytesSource(bytes, name));
  return {
    tokenizer: createTokenizer(metadata),
    metadata: [...metadata.entries()].filter(([key]) => key.startsWith("tokenizer.")),
    digest: createHash("sha256").update(bytes).digest("hex"),
  };
}
