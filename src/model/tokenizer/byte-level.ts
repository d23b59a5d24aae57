import { at } from "../../base/mod.ts";
import { readSpelling, spellBytes } from "./byte-letters.ts";
import { cachedWordLengthMax, cachedWordsMax, mergesMax } from "./limits.ts";
import { linkSymbols, type MergeRules, mergeSymbols } from "./merging.ts";
import { type TokenizerMetadata, tokenizerError } from "./metadata.ts";
import { cutWords, type PreTokenizer } from "./pre-tokenizers.ts";
import type { SubWords } from "./sub-words.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * Byte-level BPE, GGUF's `gpt2` vocabularies: text is cut into words, each word into bytes, and bytes are
 * joined pairwise in the order of the merge list. Source: Sennrich et al., 2016; Radford et al., GPT-2, 2019.
 */
export function createByteLevel(
  metadata: TokenizerMetadata,
  vocabulary: Vocabulary,
  preTokenizer: PreTokenizer,
): SubWords {
  const rules = readMerges(metadata, vocabulary);
  const byteIds = findByteIds(vocabulary);
  const { textIds, spellings } = vocabulary;
  const encoder = new TextEncoder();
  const cache = new Map<string, readonly number[]>();

  const encodeWord = (word: string): readonly number[] => {
    const bytes = encoder.encode(word);
    const whole = preTokenizer.wholeWords ? textIds.get(spellBytes(bytes)) : undefined;
    return whole === undefined ? mergeBytes(bytes, byteIds, rules) : [whole];
  };
  const recall = (word: string): readonly number[] => {
    const known = cache.get(word);
    if (known !== undefined) return known;
    const ids = encodeWord(word);
    if (cache.size >= cachedWordsMax) cache.clear();
    if (word.length <= cachedWordLengthMax) cache.set(word, ids);
    return ids;
  };
  const encode = (text: string, output: number[]): void => {
    for (const word of cutWords(text, preTokenizer)) for (const id of recall(word)) output.push(id);
  };
  const bytesOf = (id: number): Uint8Array => readSpelling(at(spellings, id));
  return { kind: "bpe", addsSpacePrefix: false, encode, bytesOf };
}

interface ByteIds {
  readonly ids: Int32Array;
  readonly unknown: number;
}

function mergeBytes(bytes: Uint8Array, { ids, unknown }: ByteIds, rules: MergeRules): readonly number[] {
  const symbols = linkSymbols(Int32Array.from(bytes, (byte) => ids[byte]!));
  mergeSymbols(symbols, rules);
  const output: number[] = [];
  for (let i = 0; i < symbols.count; i = symbols.next[i]!) {
    const id = symbols.ids[i]!;
    output.push(id < 0 ? unknown : id);
  }
  return output;
}

/**
 * Merges by the pair of tokens they join, in the order of the file. Throws E_TOKENIZER, naming the merge at
 * fault.
 */
function readMerges(metadata: TokenizerMetadata, { textIds, spellings }: Vocabulary): MergeRules {
  const key = "tokenizer.ggml.merges";
  const merges = metadata.optionalStrings(key);
  if (merges === undefined) throw tokenizerError(`Reading the vocabulary: ${key} is missing.`);
  if (merges.length > mergesMax) {
    throw tokenizerError(`Reading ${key}: ${merges.length} merges are more than ${mergesMax}.`);
  }
  const count = spellings.length;
  const ranks = new Map<number, number>();
  const tokens = new Int32Array(merges.length);
  merges.forEach((merge, rank) => {
    const gap = merge.indexOf(" ", 1);
    const left = textIds.get(merge.slice(0, Math.max(gap, 0)));
    const right = textIds.get(merge.slice(gap + 1));
    const joined = textIds.get(merge.slice(0, Math.max(gap, 0)) + merge.slice(gap + 1));
    if (gap < 0 || left === undefined || right === undefined || joined === undefined) {
      const name = JSON.stringify(merge.slice(0, 80));
      throw tokenizerError(`Reading ${key}: merge ${rank}, ${name}, does not join two tokens to a third.`);
    }
    tokens[rank] = joined;
    const pair = left * count + right;
    if (!ranks.has(pair)) ranks.set(pair, rank);
  });
  return {
    find: ({ ids, next }, left) => {
      const first = ids[left]!;
      const second = ids[next[left]!]!;
      return first < 0 || second < 0 ? -1 : (ranks.get(first * count + second) ?? -1);
    },
    priorityOf: (rank) => rank,
    tokenOf: (rank) => tokens[rank]!,
  };
}

/** The token of each byte. Every byte that UTF-8 text can hold needs one, or an unknown token to stand in. */
function findByteIds({ textIds, special }: Vocabulary): ByteIds {
  const ids = Int32Array.from(
    { length: 256 },
    (_, byte) => textIds.get(spellBytes(Uint8Array.of(byte))) ?? -1,
  );
  const missing = ids.findIndex((id, byte) => id < 0 && byte !== 0xc0 && byte !== 0xc1 && byte < 0xf5);
  if (missing >= 0 && special.unknown === undefined) {
    throw tokenizerError(
      `Reading the vocabulary: byte ${missing} has no token and there is no unknown token.`,
    );
  }
  return { ids, unknown: special.unknown ?? -1 };
}
