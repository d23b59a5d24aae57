/** `claw train eval`: how well a model predicts a text, per byte, beside a model of five-byte runs. */

import { basename } from "node:path";
import { at, ClawError } from "../../base/mod.ts";
import {
  CONTEXT_MAX,
  deviceOptions,
  modelOptions,
  numberOption,
  switchOption,
  textOption,
} from "../../config/mod.ts";
import { LogSumExp, type Runtime, scoreTokens } from "../../engine/mod.ts";
import { type Model, openModel } from "../../model/mod.ts";
import { ByteGrams, readDocuments } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { type ScoringOptions, withScoring } from "../scoring.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface EvalSettings extends ScoringOptions {
  readonly text: string | undefined;
  readonly corpus: string | undefined;
  readonly bytes: number | undefined;
  readonly json: boolean;
}

export const trainEval: Command = defineCommand<EvalSettings>({
  name: "train eval",
  summary:
    "Measures a model's perplexity per byte of a text, and that of a 5-gram model of the training text.",
  options: {
    ...modelOptions,
    text: textOption({
      flag: "text",
      placeholder: "FILE",
      meaning: "the text to predict, UTF-8, documents as in a corpus",
      default: undefined,
    }),
    corpus: textOption({
      flag: "corpus",
      placeholder: "FILE",
      meaning: "the text that the 5-gram model counts",
      default: undefined,
      otherwise: "no 5-gram model",
    }),
    ...deviceOptions,
    window: numberOption({
      flag: "window",
      meaning: "tokens that the model sees together",
      range: [2, CONTEXT_MAX],
      default: undefined,
      otherwise: "512, or the model's context where that is smaller",
    }),
    bytes: numberOption({
      flag: "bytes",
      meaning: "how much of each document is taken, from its beginning",
      range: [1, Number.MAX_SAFE_INTEGER],
      default: undefined,
      otherwise: "all",
    }),
    json: switchOption("json", "print an object"),
  },
  run: async (settings) => {
    const { text, corpus, bytes } = settings;
    if (text === undefined) throw new ClawError("E_USAGE", "claw train eval needs --text FILE.");
    const documents = Array.from(readDocuments(text), (document) => firstBytes(document, bytes));
    const size = documents.reduce((sum, document) => sum + Buffer.byteLength(document), 0);
    if (size === 0) throw new ClawError("E_CORPUS", `${text} has no text to predict.`);
    const perByte = (nats: number): number => Math.exp(nats / size);
    const path = chooseModel(settings.model);
    const opened = openModel(path);
    const model = perByte(
      await withScoring(opened, settings, (runtime, window) =>
        scoreDocuments(runtime, opened, { documents, window }),
      ),
    );
    const fiveGram = corpus === undefined ? null : perByte(scoreGrams(corpus, documents));
    if (settings.json) return printJson({ bytes: size, model, five_gram: fiveGram });
    await print(`${basename(path)}: perplexity ${model.toFixed(4)} per byte over ${size} bytes.\n`);
    if (fiveGram !== null)
      await print(`5-gram of ${basename(corpus ?? "")}: ${fiveGram.toFixed(4)} per byte.\n`);
  },
});

/** A text's first bytes, without a character that is cut in two. */
function firstBytes(text: string, bytes: number | undefined): string {
  if (bytes === undefined) return text;
  return new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, bytes), { stream: true });
}

/** Nats in all, of a model of the corpus's runs of five bytes. */
function scoreGrams(corpus: string, documents: readonly string[]): number {
  const encoder = new TextEncoder();
  const count = progressLine("Counting bytes:");
  const grams = new ByteGrams(encoded(readDocuments(corpus, (done, total) => count(done / total))));
  return documents.reduce((sum, document) => sum + grams.negativeLogLikelihood(encoder.encode(document)), 0);
}

function* encoded(documents: Iterable<string>): Generator<Uint8Array> {
  for (const document of documents) yield new TextEncoder().encode(document);
}

/**
 * Nats in all. Every token of every document is predicted once, from those before it in its window. A window begins with the last token of
 * the one before it, a document's first one with the beginning-of-sequence token.
 */
async function scoreDocuments(
  runtime: Runtime,
  { tokenizer }: Model,
  { documents, window }: { readonly documents: readonly string[]; readonly window: number },
): Promise<number> {
  const { bos } = tokenizer;
  if (bos === undefined) throw new ClawError("E_TOKENIZER", "The model has no token to begin a text with.");
  const texts = documents.map((document) => begun(bos, tokenizer.encode(document)));
  const total = texts.reduce((sum, tokens) => sum + tokens.length, 0);
  const progress = progressLine("Scoring:");
  const { logits: all, outputs } = runtime.executable.step;
  const normalizer = new LogSumExp(all.length / outputs.length);
  let [nats, done] = [0, 0];
  for (const tokens of texts) {
    for (let start = 0; start + 1 < tokens.length; start += window) {
      const part = tokens.subarray(start, Math.min(start + window, tokens.length - 1));
      const visit = (position: number, logits: Float32Array): void => {
        nats += normalizer.of(logits) - at(logits, at(tokens, start + position + 1));
      };
      await scoreTokens(runtime, part, { from: 0, visit });
      progress((done + start) / total);
    }
    done += tokens.length;
  }
  progress(1);
  return nats;
}

function begun(bos: number, tokens: Int32Array): Int32Array {
  const all = new Int32Array(tokens.length + 1);
  all[0] = bos;
  all.set(tokens, 1);
  return all;
}
