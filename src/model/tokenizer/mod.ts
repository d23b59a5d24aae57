/** Text to tokens and back, from the vocabulary in a model file's metadata. */

export type { TokenizerMetadata } from "./metadata.ts";
export type { TextPiece } from "./special-tokens.ts";
export { createTokenizer, type Tokenizer } from "./tokenizer.ts";
