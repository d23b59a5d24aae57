import { at } from "../../base/mod.ts";
import { createByteLevel } from "./byte-level.ts";
import { createDetokenizer, type DecodeOptions, type Detokenizer, type TokenText } from "./detokenizer.ts";
import { type TokenizerMetadata, tokenizerError } from "./metadata.ts";
import { readPreTokenizer } from "./pre-tokenizers.ts";
import { createSentencePiece } from "./sentence-piece.ts";
import { cutSpecialTokens, findSpecialTokens, type TextPiece } from "./special-tokens.ts";
import type { SubWords } from "./sub-words.ts";
import { byteOf, endTokens, readVocabulary, tokenType, type Vocabulary } from "./vocabulary.ts";

export interface EncodeOptions {
  /** Adds the tokens that the file wants at the beginning and the end of a sequence. Default: false. */
  readonly addSpecial?: boolean;
  /** Takes spelled-out control tokens for what they spell; user-defined tokens always are. Default: false. */
  readonly parseSpecial?: boolean;
}

export interface Tokenizer {
  readonly kind: "spm" | "bpe";
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  /** Whether `addSpecial` puts `bos` first. */
  readonly addBos: boolean;
  /**
   * The ids that end a generation: end of sequence, of turn, of message, and control tokens spelled like
   * these.
   */
  readonly endTokens: ReadonlySet<number>;
  /** The spellings that `parseSpecial` turns into control tokens. */
  readonly controlSpellings: readonly string[];
  /**
   * The tokens of a text. A lone surrogate counts as U+FFFD. In a list of pieces, `parseSpecial` holds only
   * for those marked special; where no control token lies between them, pieces tokenize as their joined text.
   */
  encode(text: string | readonly TextPiece[], options?: EncodeOptions): Int32Array;
  /** The text of all tokens; invalid UTF-8 becomes U+FFFD. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** The bytes that a token adds to the output; they may be part of a character. */
  tokenBytes(id: number): Uint8Array;
  /** The token as the vocabulary spells it. */
  tokenText(id: number): string;
  isControl(id: number): boolean;
  detokenizer(options?: DecodeOptions): Detokenizer;
}

/**
 * The tokenizer of a model file. Throws E_TOKENIZER where its metadata is missing, contradictory or not
 * supported.
 */
export function createTokenizer(metadata: TokenizerMetadata): Tokenizer {
  const model = metadata.optionalString("tokenizer.ggml.model");
  if (model !== "llama" && model !== "gpt2") {
    const found = model === undefined ? "is missing" : `${JSON.stringify(model)} is not supported`;
    throw tokenizerError(`Reading tokenizer.ggml.model: it ${found}; supported are llama and gpt2.`);
  }
  const read = readVocabulary(metadata);
  if (model === "llama") {
    const vocabulary = withSentencePieceDefaults(read);
    const ends = readEnds(metadata, vocabulary, true);
    return assemble(vocabulary, createSentencePiece(metadata, vocabulary), ends);
  }
  const preTokenizer = readPreTokenizer(metadata);
  const ends = readEnds(metadata, read, preTokenizer.addsBos);
  return assemble(read, createByteLevel(metadata, read, preTokenizer), ends);
}

/** SentencePiece's own ids, for a file that does not name them: 0 unknown, 1 beginning, 2 end. */
function withSentencePieceDefaults(vocabulary: Vocabulary): Vocabulary {
  const { special, types } = vocabulary;
  const orIfTyped = (id: number | undefined, usual: number, type: number): number | undefined =>
    id ?? (types[usual] === type ? usual : undefined);
  return {
    ...vocabulary,
    special: {
      ...special,
      unknown: orIfTyped(special.unknown, 0, tokenType.unknown),
      bos: orIfTyped(special.bos, 1, tokenType.control),
      eos: orIfTyped(special.eos, 2, tokenType.control),
    },
  };
}

interface Ends {
  readonly addBos: boolean;
  readonly addEos: boolean;
}

function readEnds(metadata: TokenizerMetadata, { special }: Vocabulary, addsBos: boolean): Ends {
  const read = (name: "bos" | "eos", otherwise: boolean): boolean => {
    const key = `tokenizer.ggml.add_${name}_token`;
    const wanted = metadata.optionalBoolean(key);
    if (wanted === true && special[name] === undefined) {
      throw tokenizerError(`Reading ${key}: it is true, but tokenizer.ggml.${name}_token_id is missing.`);
    }
    return wanted ?? (otherwise && special[name] !== undefined);
  };
  return { addBos: read("bos", addsBos), addEos: read("eos", false) };
}

function assemble(vocabulary: Vocabulary, words: SubWords, ends: Ends): Tokenizer {
  const { spellings, types, special } = vocabulary;
  const lookUp = textLookUp(vocabulary, words);
  const detokenizer = ({ skipSpecial = false, stripLeadingSpace = false }: DecodeOptions = {}): Detokenizer =>
    createDetokenizer(lookUp, { skipSpecial, stripSpaces: stripLeadingSpace && words.addsSpacePrefix });
  return {
    kind: words.kind,
    vocabularySize: spellings.length,
    bos: special.bos,
    eos: special.eos,
    addBos: ends.addBos,
    endTokens: endTokens(vocabulary),
    controlSpellings: spellings.filter((spelling, id) => spelling !== "" && isSkipped(at(types, id))),
    encode: createEncoder(vocabulary, words, ends),
    decode: (ids, options) => {
      const stream = detokenizer(options);
      let text = "";
      for (const id of ids) text += stream.push(id);
      return text + stream.end();
    },
    tokenBytes: (id) => lookUp(id).bytes,
    tokenText: (id) => at(spellings, id),
    isControl: (id) => at(types, id) === tokenType.control,
    detokenizer,
  };
}

function createEncoder(vocabulary: Vocabulary, words: SubWords, ends: Ends): Tokenizer["encode"] {
  const { bos, eos } = vocabulary.special;
  const tokens = findSpecialTokens(vocabulary);
  return (text, { addSpecial = false, parseSpecial = false } = {}) => {
    const given = typeof text === "string" ? [{ text, special: true }] : text;
    const pieces = parseSpecial ? given : given.map((piece) => ({ ...piece, special: false }));
    const output: number[] = [];
    if (addSpecial && ends.addBos && bos !== undefined) output.push(bos);
    let prefix = words.addsSpacePrefix ? " " : "";
    for (const fragment of cutSpecialTokens(pieces, tokens)) {
      if (typeof fragment === "number") output.push(fragment);
      else words.encode(prefix + fragment.toWellFormed(), output);
      prefix = words.addsSpacePrefix && typeof fragment === "number" ? " " : "";
    }
    if (addSpecial && ends.addEos && eos !== undefined) output.push(eos);
    return Int32Array.from(output);
  };
}

/**
 * Special tokens are their spelling, byte tokens their byte, all others what their kind of vocabulary makes
 * of them.
 */
function textLookUp({ spellings, types }: Vocabulary, words: SubWords): (id: number) => TokenText {
  const encoder = new TextEncoder();
  const bytesOf = (id: number, type: number): Uint8Array => {
    if (type === tokenType.byte) return Uint8Array.of(byteOf(at(spellings, id)));
    const isLiteral = isSkipped(type) || type === tokenType.userDefined;
    return isLiteral ? encoder.encode(at(spellings, id)) : words.bytesOf(id);
  };
  return (id) => {
    const type = at(types, id);
    const skipped = isSkipped(type);
    const isSpecial = skipped || type === tokenType.userDefined;
    return { bytes: bytesOf(id, type), isSkipped: skipped, isSpecial };
  };
}

function isSkipped(type: number): boolean {
  return type === tokenType.control || type === tokenType.unknown;
}
