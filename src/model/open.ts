/** Opens a model file: header, architecture, tokenizer and chat template. Weights are loaded later, onto a device. */

import { ClawError } from "../base/mod.ts";
import { describe, type ModelDescription, ROPE_FREQUENCIES } from "./architecture/mod.ts";
import { type Gguf, openByteSource, readGguf } from "./gguf/mod.ts";
import { type ModelFile, readVector } from "./program/mod.ts";
import { type ChatTemplate, createChatTemplate } from "./template/mod.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer/mod.ts";

export interface Model extends ModelFile {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  close(): void;
}

/** Opens a GGUF model. Every way the file can be wrong is a ClawError with a code of its own. */
export function openModel(path: string): Model {
  const source = openByteSource(path);
  try {
    const gguf = readGguf(source);
    const frequencies = gguf.tensors.get(ROPE_FREQUENCIES);
    const divisors = frequencies === undefined ? undefined : readVector(source, frequencies);
    const description = describe(gguf, divisors);
    const tokenizer = createTokenizer(gguf.metadata);
    checkVocabulary(description, tokenizer);
    const template = templateOf(gguf, tokenizer);
    return { gguf, source, description, tokenizer, template, close: () => source.close() };
  } catch (error) {
    source.close();
    throw error;
  }
}

function templateOf({ metadata }: Gguf, tokenizer: Tokenizer): ChatTemplate {
  const spelling = (id: number | undefined): string => (id === undefined ? "" : tokenizer.tokenText(id));
  return createChatTemplate({
    template: metadata.optionalString("tokenizer.chat_template"),
    bosToken: spelling(tokenizer.bos),
    eosToken: spelling(tokenizer.eos),
    controlSpellings: tokenizer.controlSpellings,
  });
}

function checkVocabulary(description: ModelDescription, tokenizer: Tokenizer): void {
  // Some files pad the embedding beyond the tokenizer; fewer rows than tokens would let a prompt read past it.
  if (tokenizer.vocabularySize <= description.vocabulary) return;
  const [tokens, rows] = [tokenizer.vocabularySize, description.vocabulary];
  throw new ClawError("E_MODEL_SHAPE", `The tokenizer has ${tokens} tokens, the embedding ${rows} rows.`);
}
