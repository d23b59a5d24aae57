/**
 * A made-up SentencePiece-style vocabulary: three special tokens, the 256 byte tokens (so that any text can be
 * tokenized), then pieces from single characters up to four letters, their scores falling.
 */

export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly scores: Float32Array;
  readonly kinds: Int32Array;
}

export const UNKNOWN_ID = 0;
export const BEGIN_ID = 1;
export const END_ID = 2;

/** llama.cpp's token types (`tokenizer.ggml.token_type`). */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const BYTE = 6;

/** SentencePiece writes a space as this character. */
const SPACE = "\u2581";
/** English letters by frequency, so that the first pairs are those that texts have. */
const LETTERS = "etaoinshrdlucmfwygpbvkxqjz";
const FIRST_PRINTABLE = 0x21;
const LAST_PRINTABLE = 0x7e;
const WORD_LENGTH_MAX = 4;

/** A vocabulary of `size` tokens, from 259 (no pieces) to about 900,000. */
export function makeVocabulary(size: number): Vocabulary {
  const tokens = ["<unk>", "<s>", "</s>"];
  const kinds = [UNKNOWN, CONTROL, CONTROL];
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    kinds.push(BYTE);
  }
  const special = tokens.length;
  for (const piece of pieces()) {
    if (tokens.length === size) break;
    tokens.push(piece);
    kinds.push(NORMAL);
  }
  const scores = Float32Array.from(tokens, (_, id) => Math.min(0, special - 1 - id));
  return { tokens, scores, kinds: Int32Array.from(kinds) };
}

/** Distinct pieces, each the join of two earlier ones, so that merging can reach it. */
function* pieces(): Iterable<string> {
  yield SPACE;
  for (let code = FIRST_PRINTABLE; code <= LAST_PRINTABLE; code++) yield String.fromCharCode(code);
  for (let length = 1; length <= WORD_LENGTH_MAX; length++) {
    if (length > 1) yield* words(length);
    for (const word of words(length)) yield SPACE + word;
  }
}

/** All words of `length` letters. */
function* words(length: number): Iterable<string> {
  if (length === 0) {
    yield "";
    return;
  }
  for (const start of words(length - 1)) for (const letter of LETTERS) yield start + letter;
}
