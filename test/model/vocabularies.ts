/** I/O: reads the vocabularies of ../shared; beside them, small ones made up here. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openByteSource, readGguf } from "../../src/model/gguf/mod.ts";
import { createTokenizer, type Tokenizer, type TokenizerMetadata } from "../../src/model/tokenizer/mod.ts";

const shared: string = fileURLToPath(new URL("../../../shared/", import.meta.url));
export const sharedMissing: boolean = !existsSync(shared);
export const sharedReason: string = sharedMissing ? " (skipped: ../shared is missing)" : "";

export const vectorNames = ["llama-spm", "llama-bpe", "qwen2"] as const;
export const vectorPath = (name: string): string => `${shared}vectors/tokenizer/ggml-vocab-${name}.gguf`;
export const storiesPath: string = `${shared}models/stories260K.gguf`;

/** The published texts of a vocabulary and the ids they become. */
export function readVectors(name: string): { text: string; ids: readonly number[] }[] {
  const texts = readFileSync(`${vectorPath(name)}.inp`, "utf8").split("\n__ggml_vocab_test__\n");
  const lines = readFileSync(`${vectorPath(name)}.out`, "utf8").split("\n");
  return texts.map((text, i) => ({ text, ids: (lines[i]!.match(/\d+/g) ?? []).map(Number) }));
}

const loaded = new Map<string, Tokenizer>();

export function loadTokenizer(path: string): Tokenizer {
  const known = loaded.get(path);
  if (known !== undefined) return known;
  const source = openByteSource(path);
  const tokenizer = createTokenizer(readGguf(source).metadata);
  source.close();
  loaded.set(path, tokenizer);
  return tokenizer;
}

export type Values = Readonly<
  Record<string, string | number | boolean | readonly string[] | readonly number[] | undefined>
>;

/** Metadata under `tokenizer.ggml.`. */
export function metadataOf(values: Values): TokenizerMetadata {
  const value = (key: string): unknown => values[key.replace("tokenizer.ggml.", "")];
  return {
    optionalString: (key) => value(key) as string | undefined,
    optionalNumber: (key) => value(key) as number | undefined,
    optionalBoolean: (key) => value(key) as boolean | undefined,
    optionalStrings: (key) => value(key) as readonly string[] | undefined,
    optionalNumbers: (key) => value(key) as readonly number[] | undefined,
  };
}

const byteTokens = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

/**
 * A SentencePiece-style vocabulary: `<unk>`, `<s>`, `</s>`, the bytes, then `pieces` with their scores and
 * types.
 */
export function spmValues(
  pieces: Readonly<Record<string, number>>,
  types: Readonly<Record<string, number>> = {},
): Values {
  const spellings = Object.keys(pieces);
  return {
    model: "llama",
    tokens: ["<unk>", "<s>", "</s>", ...byteTokens, ...spellings],
    scores: [...Array<number>(259).fill(0), ...Object.values(pieces)],
    token_type: [2, 3, 3, ...Array<number>(256).fill(6), ...spellings.map((piece) => types[piece] ?? 1)],
    bos_token_id: 1,
    eos_token_id: 2,
    unknown_token_id: 0,
  };
}

/** The letters of byte-level BPE, in the order of their bytes, as GPT-2 published them. */
export const byteLetters: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  if (byte <= 0x20) return String.fromCharCode(0x100 + byte);
  if (byte >= 0x7f && byte <= 0xa0) return String.fromCharCode(0x121 + byte - 0x7f);
  return byte === 0xad ? "\u0143" : String.fromCharCode(byte);
});

/** A byte-level vocabulary: the bytes, what `merges` make, then control tokens. */
export function bpeValues(merges: readonly string[], control: readonly string[] = []): Values {
  const joined = [...new Set(merges.map((merge) => merge.replace(" ", "")))];
  const tokens = [...byteLetters, ...joined, ...control];
  return {
    model: "gpt2",
    pre: "gpt-2",
    tokens,
    merges,
    token_type: tokens.map((token) => (control.includes(token) ? 3 : 1)),
  };
}
