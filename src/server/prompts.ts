/** How long a request's prompts may be: checked before anything is done that takes as long as they are. */

import { ClawError } from "../base/mod.ts";
import type { Tokenizer } from "../model/mod.ts";
import type { ServedModel } from "./models.ts";

/** A character takes up to four bytes, also where it becomes a single unknown token of a shorter spelling. */
const CHARACTER_BYTES_MAX = 4;

/** Bytes of UTF-8 beyond which no text can be `context` tokens: none of them stands for more than the longest. */
export function textBytesMax(tokenizer: Tokenizer, context: number): number {
  let longest = CHARACTER_BYTES_MAX;
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    longest = Math.max(longest, Buffer.byteLength(tokenizer.tokenText(id)));
  }
  return context * longest;
}

/** Refuses texts that together are too long for the context, whatever their tokens. Errors: E_CONTEXT. */
export function checkTexts(
  texts: readonly string[],
  model: Pick<ServedModel, "context" | "textBytesMax">,
): void {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes <= model.textBytesMax) return;
  const held = `the context of ${model.context} tokens holds at most ${model.textBytesMax}`;
  throw new ClawError("E_CONTEXT", `The prompt has ${bytes} bytes of text; ${held}.`);
}

/** Refuses prompts that leave no room for the answer, as the engine would refuse each answer. Errors: E_CONTEXT. */
export function checkLengths(
  prompts: readonly Int32Array[],
  { context, maxTokens = 1 }: { readonly context: number; readonly maxTokens: number | undefined },
): void {
  for (const { length } of prompts) {
    if (length + maxTokens <= context) continue;
    const asked = `${length} prompt tokens and ${maxTokens} more`;
    throw new ClawError("E_CONTEXT", `The request has ${asked}; the context holds ${context}.`);
  }
}
