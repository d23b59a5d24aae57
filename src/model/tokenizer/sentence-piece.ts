import { at } from "../../base/mod.ts";
import { linkSymbols, type MergeRules, mergeSymbols, type SymbolList } from "./merging.ts";
import { type TokenizerMetadata, tokenizerError } from "./metadata.ts";
import type { SubWords } from "./sub-words.ts";
import { byteOf, tokenType, type Vocabulary } from "./vocabulary.ts";

/** How SentencePiece spells a space inside a token. */
const spaceMark = "\u2581";

/**
 * SentencePiece's BPE mode as GGUF's `llama` vocabularies use it: characters are joined pairwise, the pair
 * whose token has the highest score first; what has no token falls back to byte tokens, then to the unknown
 * token. Source: Kudo and Richardson, "SentencePiece", 2018; scores instead of merge ranks as in the
 * reference implementation.
 */
export function createSentencePiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): SubWords {
  const addsSpacePrefix = metadata.optionalBoolean("tokenizer.ggml.add_space_prefix") ?? true;
  const priorities = readPriorities(metadata, vocabulary.spellings.length);
  const byteIds = findByteIds(vocabulary);
  const { textIds, spellings } = vocabulary;
  const longest = spellings.reduce((length, spelling) => Math.max(length, spelling.length), 0);
  const encoder = new TextEncoder();

  const encode = (text: string, output: number[]): void => {
    const marked = text.replaceAll(" ", spaceMark);
    const starts = characterStarts(marked);
    const slice = ({ next }: SymbolList, left: number, last: number): string =>
      marked.slice(starts[left]!, starts[next[last]!]!);
    const rules: MergeRules = {
      find: (symbols, left) => {
        const right = symbols.next[left]!;
        if (starts[symbols.next[right]!]! - starts[left]! > longest) return -1;
        return textIds.get(slice(symbols, left, right)) ?? -1;
      },
      priorityOf: (id) => priorities[id]!,
      tokenOf: (id) => id,
    };
    const ids = new Int32Array(starts.length - 1);
    for (let i = 0; i < ids.length; i++) ids[i] = textIds.get(marked.slice(starts[i]!, starts[i + 1]!)) ?? -1;
    const symbols = linkSymbols(ids);
    mergeSymbols(symbols, rules);
    for (let i = 0; i < symbols.count; i = symbols.next[i]!) {
      const id = ids[i]!;
      if (id >= 0) output.push(id);
      else for (const byte of encoder.encode(slice(symbols, i, i))) output.push(byteIds[byte]!);
    }
  };
  const bytesOf = (id: number): Uint8Array => encoder.encode(at(spellings, id).replaceAll(spaceMark, " "));
  return { kind: "spm", addsSpacePrefix, encode, bytesOf };
}

/** Where each character (code point) of the text starts, in UTF-16 units, and where the last one ends. */
function characterStarts(text: string): Int32Array {
  const starts = new Int32Array(text.length + 1);
  let count = 0;
  for (let i = 0; i < text.length; count++) {
    starts[count] = i;
    i += text.codePointAt(i)! > 0xffff ? 2 : 1;
  }
  starts[count] = text.length;
  return starts.subarray(0, count + 1);
}

/** Per token: the place of its score among the distinct scores, best first. */
function readPriorities(metadata: TokenizerMetadata, count: number): Int32Array {
  const key = "tokenizer.ggml.scores";
  const scores = metadata.optionalNumbers(key);
  if (scores === undefined) throw tokenizerError(`Reading the vocabulary: ${key} is missing.`);
  if (scores.length !== count) {
    throw tokenizerError(`Reading ${key}: ${scores.length} scores for ${count} tokens.`);
  }
  const values = Float64Array.from(scores);
  const wrong = values.findIndex((score) => Number.isNaN(score));
  if (wrong >= 0) throw tokenizerError(`Reading ${key}: the score of token ${wrong} is not a number.`);
  const distinct = [...new Set(values)].sort((a, b) => (a < b ? 1 : -1));
  const places = new Map(distinct.map((score, place) => [score, place]));
  return Int32Array.from(values, (score) => places.get(score)!);
}

/** The token for each byte that a character may need: `<0xNN>`, else the unknown token. */
function findByteIds({ spellings, types, special }: Vocabulary): Int32Array {
  const ids = new Int32Array(256).fill(special.unknown ?? -1);
  spellings.forEach((spelling, id) => {
    if (types[id] === tokenType.byte) ids[byteOf(spelling)] = id;
  });
  const missing = ids.indexOf(-1);
  if (missing < 0) return ids;
  throw tokenizerError(`Reading the vocabulary: byte ${missing} has no token and there is no unknown token.`);
}
