import { ClawError } from "../../base/mod.ts";
import { type TokenizerMetadata, tokenizerError } from "./metadata.ts";

/**
 * How a byte-level vocabulary cuts text into words before merging. Each expression in turn cuts what the ones
 * before it left; text between its matches stays a piece of its own. Every expression is linear: no
 * repetition can match the same characters in two ways. White space is Unicode's property, which unlike
 * JavaScript's `\s` holds U+0085 and not U+FEFF.
 */
export interface PreTokenizer {
  readonly cuts: readonly RegExp[];
  /** Whether a word that is itself a token is taken whole, whatever the merges say. */
  readonly wholeWords: boolean;
  /** Whether a sequence starts with the beginning-of-sequence token unless the file says otherwise. */
  readonly addsBos: boolean;
}

const space = "\\p{White_Space}";
const spaces = `${space}+(?!\\P{White_Space})|${space}+`;

/**
 * GPT-2: contractions, then runs of letters, of digits, of everything else, each with one space before it.
 */
const gpt2Words: RegExp = new RegExp(
  `'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^${space}\\p{L}\\p{N}]+|${spaces}`,
  "gu",
);

/**
 * The cl100k family: any case of contraction, any one mark before letters, digits in groups, line ends kept
 * together.
 */
function marksAndWords(digits: string): RegExp {
  const contraction = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
  const letters = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
  const marks = ` ?[^${space}\\p{L}\\p{N}]+[\\r\\n]*`;
  return new RegExp(`${contraction}|${letters}|${digits}|${marks}|${space}*[\\r\\n]+|${spaces}`, "gu");
}

const plain = { wholeWords: false, addsBos: false } as const;
const gpt2: PreTokenizer = { cuts: [gpt2Words], ...plain };
const singleDigits: PreTokenizer = { cuts: [/\p{N}/gu, gpt2Words], ...plain };
const groupedDigits: PreTokenizer = { cuts: [marksAndWords("\\p{N}{1,3}")], ...plain };
const qwen2: PreTokenizer = { cuts: [marksAndWords("\\p{N}")], ...plain };
const llama3: PreTokenizer = { ...groupedDigits, wholeWords: true, addsBos: true };
const unnamed: PreTokenizer = {
  cuts: [/[\p{P}$+<=>^~|]+/gu, gpt2Words, /\p{N}+/gu, /[0-9]{3}/gu],
  ...plain,
};

/** By the name in `tokenizer.ggml.pre`. */
const table: ReadonlyMap<string, PreTokenizer> = new Map([
  ["default", unnamed],
  ["gpt-2", gpt2],
  ["phi-2", gpt2],
  ["mpt", gpt2],
  ["olmo", gpt2],
  ["jais", gpt2],
  ["smollm", singleDigits],
  ["starcoder", singleDigits],
  ["refact", singleDigits],
  ["command-r", singleDigits],
  ["codeshell", singleDigits],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["falcon3", llama3],
  ["pixtral", llama3],
  ["dbrx", groupedDigits],
  ["smaug-bpe", groupedDigits],
  ["qwen2", qwen2],
  ["deepseek-r1-qwen", qwen2],
  ["stablelm2", qwen2],
  ["megrez", qwen2],
]);

/**
 * The pre-tokenizer that the file names. Throws E_TOKENIZER for one that is not known: guessing would
 * tokenize wrongly.
 */
export function readPreTokenizer(metadata: TokenizerMetadata): PreTokenizer {
  const name = metadata.optionalString("tokenizer.ggml.pre") ?? "default";
  const found = table.get(name);
  if (found !== undefined) return found;
  const supported = [...table.keys()].join(", ");
  throw tokenizerError(
    `Reading tokenizer.ggml.pre: ${JSON.stringify(name)} is not one of the supported ${supported}.`,
  );
}

/**
 * The words of a text, in order; joined they are the text. Throws E_CONTEXT for a word of millions of
 * characters.
 */
export function cutWords(text: string, { cuts }: PreTokenizer): readonly string[] {
  let pieces: readonly string[] = [text];
  try {
    for (const cut of cuts) pieces = pieces.flatMap((piece) => cutPiece(piece, cut));
  } catch (thrown) {
    // Regular expressions keep a stack of bounded size, which a word of over 2^21 characters exhausts.
    if (!(thrown instanceof RangeError)) throw thrown;
    throw new ClawError("E_CONTEXT", `Tokenizing ${text.length} characters: one word of them is too long.`);
  }
  return pieces;
}

function cutPiece(text: string, cut: RegExp): string[] {
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(cut)) {
    if (match.index > end) pieces.push(text.slice(end, match.index));
    pieces.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push(text.slice(end));
  return pieces;
}
