/** Text to tokens and back, from the vocabulary in a model file's metadata. */

export { spellBytes } from "./byte-letters.ts";
export type { TokenizerMetadata } from "./metadata.ts";
export { cutWords, type PreTokenizer, readPreTokenizer } from "./pre-tokenizers.ts";
export type { TextPiece } from "./special-tokens.ts";
export { createTokenizer, type Tokenizer } from "./tokenizer.ts";
