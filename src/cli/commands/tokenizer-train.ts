/** `claw tokenizer train` and `claw corpus encode`: what training reads, made by hand. `claw train` does both by itself. */

import { ClawError } from "../../base/mod.ts";
import { numberOption, switchOption, textOption } from "../../config/mod.ts";
import { prepareData, saveTokenizer, VOCABULARY_MAX, VOCABULARY_MIN } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { print, printJson, progressLine } from "../terminal.ts";

const VOCABULARY_DEFAULT = 4096;
const HELD_OUT_DEFAULT = 0.01;

interface TokenizerSettings {
  readonly corpus: string | undefined;
  readonly vocabulary: number;
  readonly out: string | undefined;
}

const corpus = textOption({
  flag: "corpus",
  placeholder: "FILE",
  meaning: "the text, UTF-8, with a line that holds only <|endoftext|> between documents",
  default: undefined,
});

const vocabulary = numberOption({
  flag: "vocabulary",
  meaning: "tokens in the vocabulary",
  range: [VOCABULARY_MIN, VOCABULARY_MAX],
  default: VOCABULARY_DEFAULT,
});

export const tokenizerTrain: Command = defineCommand<TokenizerSettings>({
  name: "tokenizer train",
  summary: "Learns a byte-level BPE tokenizer from a text; a GGUF file without weights.",
  options: {
    corpus,
    vocabulary,
    out: textOption({ flag: "out", placeholder: "FILE", meaning: "the file to write", default: undefined }),
  },
  run: async ({ corpus: path, vocabulary: tokens, out }) => {
    if (path === undefined || out === undefined) {
      throw new ClawError("E_USAGE", "claw tokenizer train needs --corpus FILE and --out FILE.");
    }
    saveTokenizer(out, { corpus: path, vocabulary: tokens, onProgress: stages() });
    await print(`${out} holds a tokenizer of ${tokens} tokens.\n`);
  },
});

interface CorpusSettings extends TokenizerSettings {
  readonly tokenizer: string | undefined;
  readonly valid: string | undefined;
  readonly heldOut: number;
  readonly seed: number;
  readonly json: boolean;
}

export const corpusEncode: Command = defineCommand<CorpusSettings>({
  name: "corpus encode",
  summary:
    "Encodes a text to the tokens that training reads, and learns a tokenizer first unless one is given.",
  options: {
    corpus,
    valid: textOption({
      flag: "valid",
      placeholder: "FILE",
      meaning: "a text to validate with",
      default: undefined,
      otherwise: "documents held out",
    }),
    heldOut: numberOption({
      flag: "held-out",
      meaning: "the share of documents held out",
      range: [0, 1],
      whole: false,
      default: HELD_OUT_DEFAULT,
    }),
    seed: numberOption({
      flag: "seed",
      meaning: "chooses the documents held out",
      range: [0, Number.MAX_SAFE_INTEGER],
      default: 0,
    }),
    tokenizer: textOption({
      flag: "tokenizer",
      placeholder: "FILE",
      meaning: "a tokenizer, or a model that has one",
      default: undefined,
      otherwise: "learned from the corpus",
    }),
    vocabulary,
    out: textOption({
      flag: "out",
      placeholder: "FOLDER",
      meaning: "the folder to fill",
      default: undefined,
    }),
    json: switchOption("json", "print an object"),
  },
  run: async ({ corpus: path, out, json, ...rest }) => {
    if (path === undefined || out === undefined) {
      throw new ClawError("E_USAGE", "claw corpus encode needs --corpus FILE and --out FOLDER.");
    }
    const { index, tokenizer } = prepareData({ ...rest, corpus: path, folder: out, onProgress: stages() });
    const splits = Object.entries(index.splits).map(
      ([name, { tokens, documents, textBytes }]) =>
        [name, { tokens, documents: documents.length, bytes: textBytes }] as const,
    );
    if (json) return printJson({ tokenizer: tokenizer.digest, ...Object.fromEntries(splits) });
    for (const [name, { tokens, documents, bytes }] of splits) {
      const rate = (bytes / tokens).toFixed(2);
      await print(`${name}: ${tokens} tokens, ${rate} bytes each, in ${documents} documents.\n`);
    }
  },
});

/** A progress line for each stage. */
function stages(): (stage: string, fraction: number) => void {
  const lines = new Map<string, (fraction: number) => void>();
  return (stage, fraction) => {
    const line = lines.get(stage) ?? progressLine(stage);
    lines.set(stage, line);
    line(fraction);
  };
}
