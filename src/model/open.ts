/** Opens a model file: header, architecture, tokenizer and chat template. Weights are loaded later, onto a device. */

import { ClawError } from "../base/mod.ts";
import { describe, HEAD_DIM_MAX, type ModelDescription, ROPE_FREQUENCIES } from "./architecture/mod.ts";
import { type ByteSource, type Gguf, openByteSource, readGguf } from "./gguf/mod.ts";
import { type ModelFile, readVector } from "./program/mod.ts";
import { type ChatTemplate, createChatTemplate } from "./template/mod.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer/mod.ts";

/** What loading weights needs: an open file whose header and architecture are known. */
export interface OpenedFile extends ModelFile {
  close(): void;
}

/** What serving text needs beside it. */
export interface Model extends OpenedFile {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

/** Opens a GGUF file as far as its architecture. Every way it can be wrong is a ClawError with a code of its own. */
export function openModelFile(path: string): OpenedFile {
  const source = openByteSource(path);
  return closingOnError(source, () => {
    const gguf = readGguf(source);
    const description = describe(gguf, frequencyDivisors(gguf, source));
    return { gguf, source, description, close: () => source.close() };
  });
}

/** Opens a GGUF model with its tokenizer and chat template. */
export function openModel(path: string): Model {
  const file = openModelFile(path);
  return closingOnError(file, () => {
    const tokenizer = createTokenizer(file.gguf.metadata);
    checkVocabulary(file.description, tokenizer);
    return { ...file, tokenizer, template: templateOf(file.gguf, tokenizer) };
  });
}

function frequencyDivisors(gguf: Gguf, source: ByteSource): Float32Array | undefined {
  const tensor = gguf.tensors.get(ROPE_FREQUENCIES);
  if (tensor === undefined) return undefined;
  // Looked at before the architecture is known, so bounded by itself.
  const [count = 0, ...others] = tensor.shape;
  if (others.length === 0 && count <= HEAD_DIM_MAX / 2) return readVector(source, tensor);
  const shape = tensor.shape.join(" x ");
  throw new ClawError(
    "E_MODEL_SHAPE",
    `Tensor ${ROPE_FREQUENCIES} is ${shape}; at most ${HEAD_DIM_MAX / 2} values were expected.`,
  );
}

function closingOnError<T>(opened: { close(): void }, use: () => T): T {
  try {
    return use();
  } catch (error) {
    opened.close();
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
