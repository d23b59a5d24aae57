/** A text's documents as tokens, and as windows of which every token is predicted once. */

import { ClawError } from "../base/mod.ts";
import type { Tokenizer } from "../model/mod.ts";

/** Each begun with the token that begins a sequence. E_TOKENIZER where the model has none. */
export function begunTexts(tokenizer: Tokenizer, documents: readonly string[]): Int32Array[] {
  const { bos } = tokenizer;
  if (bos === undefined) throw new ClawError("E_TOKENIZER", "The model has no token to begin a text with.");
  return documents.map((document) => {
    const tokens = tokenizer.encode(document);
    const all = new Int32Array(tokens.length + 1);
    all[0] = bos;
    all.set(tokens, 1);
    return all;
  });
}

/**
 * Every token but a text's first is predicted once, from those before it in its window: up to `window` tokens and then the last one's
 * successor, with which the next window begins.
 */
export function* windowsOf(texts: readonly Int32Array[], window: number): Generator<Int32Array> {
  for (const tokens of texts) {
    for (let start = 0; start + 1 < tokens.length; start += window) {
      yield tokens.subarray(start, Math.min(start + window + 1, tokens.length));
    }
  }
}
