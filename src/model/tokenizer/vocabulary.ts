import { at } from "../../base/mod.ts";
import { spellingLengthMax, tokensMax } from "./limits.ts";
import { type TokenizerMetadata, tokenizerError } from "./metadata.ts";

/** The values of `tokenizer.ggml.token_type` (GGUF specification). */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The tokens with a role of their own; `undefined` where the file names none. */
interface SpecialIds {
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly eot: number | undefined;
  readonly eom: number | undefined;
  readonly unknown: number | undefined;
  readonly padding: number | undefined;
}

export interface Vocabulary {
  /** Per id: the spelling in the vocabulary's own alphabet. */
  readonly spellings: readonly string[];
  /** Per id: a value of `tokenType`. */
  readonly types: Uint8Array;
  /** The tokens that ordinary text can produce, by spelling: never control, unknown or byte tokens. */
  readonly textIds: ReadonlyMap<string, number>;
  readonly special: SpecialIds;
}

/** How chat models spell the end of a turn. Converters often forget to mark these as control tokens. */
const endSpellings: ReadonlySet<string> = new Set([
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|eot|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|end_of_turn|>",
  "<end_of_turn>",
  "<EOT>",
  "<｜end▁of▁sentence｜>",
]);

/** Reads and checks the tokens of a vocabulary. Throws E_TOKENIZER, naming the key at fault. */
export function readVocabulary(metadata: TokenizerMetadata): Vocabulary {
  const spellings = readSpellings(metadata);
  const special = readSpecialIds(metadata, spellings.length);
  const types = readTypes(metadata, { spellings, special });
  checkByteTokens(spellings, types);
  return { spellings, types, textIds: indexText(spellings, types), special };
}

/**
 * The ids that end a generation: the file's end tokens, and control tokens spelled like the end of a turn.
 */
export function endTokens({ spellings, types, special }: Vocabulary): ReadonlySet<number> {
  const ends = new Set<number>();
  for (const id of [special.eos, special.eot, special.eom]) if (id !== undefined) ends.add(id);
  spellings.forEach((spelling, id) => {
    if (types[id] === tokenType.control && endSpellings.has(spelling)) ends.add(id);
  });
  return ends;
}

function readSpellings(metadata: TokenizerMetadata): readonly string[] {
  const key = "tokenizer.ggml.tokens";
  const spellings = metadata.optionalStrings(key);
  if (spellings === undefined || spellings.length === 0) {
    throw tokenizerError(`Reading the vocabulary: ${key} is missing or empty.`);
  }
  if (spellings.length > tokensMax) {
    throw tokenizerError(`Reading ${key}: ${spellings.length} tokens are more than ${tokensMax}.`);
  }
  const long = spellings.findIndex((spelling) => spelling.length > spellingLengthMax);
  if (long >= 0) throw tokenizerError(`Reading ${key}: token ${long} is longer than ${spellingLengthMax}.`);
  return spellings;
}

function readSpecialIds(metadata: TokenizerMetadata, count: number): SpecialIds {
  const read = (name: string): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    const id = metadata.optionalNumber(key);
    // Some converters write "none" as minus one, in either signedness.
    if (id === undefined || id === -1 || id === 0xffffffff) return undefined;
    if (Number.isInteger(id) && id >= 0 && id < count) return id;
    throw tokenizerError(`Reading ${key}: ${id} is not an id of a vocabulary of ${count}.`);
  };
  return {
    bos: read("bos"),
    eos: read("eos"),
    eot: read("eot"),
    eom: read("eom"),
    unknown: read("unknown"),
    padding: read("padding"),
  };
}

interface TypedTokens {
  readonly spellings: readonly string[];
  readonly special: SpecialIds;
}

function readTypes(metadata: TokenizerMetadata, { spellings, special }: TypedTokens): Uint8Array {
  const key = "tokenizer.ggml.token_type";
  const claimed = metadata.optionalNumbers(key);
  if (claimed !== undefined && claimed.length !== spellings.length) {
    throw tokenizerError(`Reading ${key}: ${claimed.length} types for ${spellings.length} tokens.`);
  }
  const types =
    claimed === undefined ? guessTypes(spellings, special) : Uint8Array.from(claimed, checkedType);
  spellings.forEach((spelling, id) => {
    if (endSpellings.has(spelling)) types[id] = tokenType.control;
  });
  return types;
}

function checkedType(type: number, id: number): number {
  if (Number.isInteger(type) && type >= tokenType.normal && type <= tokenType.byte) return type;
  throw tokenizerError(`Reading tokenizer.ggml.token_type: token ${id} has the unknown type ${type}.`);
}

const byteSpelling = /^<0x[0-9A-Fa-f]{2}>$/;

function checkByteTokens(spellings: readonly string[], types: Uint8Array): void {
  const wrong = spellings.findIndex(
    (spelling, id) => types[id] === tokenType.byte && !byteSpelling.test(spelling),
  );
  if (wrong < 0) return;
  const name = JSON.stringify(at(spellings, wrong).slice(0, 40));
  throw tokenizerError(`Reading tokenizer.ggml.tokens: byte token ${wrong} is spelled ${name}, not <0xNN>.`);
}

/** The byte that a byte token stands for, from its spelling `<0xNN>`. */
export function byteOf(spelling: string): number {
  return Number.parseInt(spelling.slice(3, 5), 16);
}

/** A file without types: the ids it names are special, `<0xNN>` are bytes, everything else is text. */
function guessTypes(spellings: readonly string[], special: SpecialIds): Uint8Array {
  const types = Uint8Array.from(spellings, (spelling) =>
    byteSpelling.test(spelling) ? tokenType.byte : tokenType.normal,
  );
  const { unknown, ...control } = special;
  for (const id of Object.values(control)) if (id !== undefined) types[id] = tokenType.control;
  if (unknown !== undefined) types[unknown] = tokenType.unknown;
  return types;
}

/** Two tokens of one spelling contradict each other, unless a lenient decoding made them equal (U+FFFD). */
function indexText(spellings: readonly string[], types: Uint8Array): ReadonlyMap<string, number> {
  const all = new Map<string, number>();
  const text = new Map<string, number>();
  spellings.forEach((spelling, id) => {
    if (spelling === "") return;
    const other = all.get(spelling);
    if (other === undefined) all.set(spelling, id);
    else if (!spelling.includes("\uFFFD")) throw duplicate(spelling, [other, id]);
    else return;
    if (isText(at(types, id))) text.set(spelling, id);
  });
  return text;
}

function duplicate(spelling: string, ids: readonly [number, number]): Error {
  const name = JSON.stringify(spelling.slice(0, 40));
  return tokenizerError(
    `Reading tokenizer.ggml.tokens: ${name} is both token ${ids[0]} and token ${ids[1]}.`,
  );
}

function isText(type: number): boolean {
  return type === tokenType.normal || type === tokenType.userDefined || type === tokenType.unused;
}
