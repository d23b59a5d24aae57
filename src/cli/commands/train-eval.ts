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
import { openModel } from "../../model/mod.ts";
import { ByteGrams, readDocuments } from "../../train/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { begunTexts, windowsOf } from "../documents.ts";
import { draftLines, measureDraft } from "../draft-agreement.ts";
import { chooseModel } from "../files.ts";
import { adapterOption, givenAdapter, type ScoringOptions, withScoring } from "../scoring.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface EvalSettings extends ScoringOptions {
  readonly text: string | undefined;
  readonly corpus: string | undefined;
  readonly draft: string | undefined;
  readonly positions: number;
  readonly bytes: number | undefined;
  readonly json: boolean;
}

const POSITIONS_DEFAULT = 10_000;
const POSITIONS_MAX = 10_000_000;

export const trainEval: Command = defineCommand<EvalSettings>({
  name: "train eval",
  summary:
    "Measures a model's perplexity per byte of a text, beside a 5-gram model's, and how often a draft agrees.",
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
    draft: textOption({
      flag: "draft",
      placeholder: "FILE",
      meaning: "a smaller model with the same tokens: how often it says what the model says",
      default: undefined,
      otherwise: "no draft",
    }),
    positions: numberOption({
      flag: "positions",
      meaning: "tokens of the model's own continuations that a draft is compared on, greedy and drawn each",
      range: [1, POSITIONS_MAX],
      default: POSITIONS_DEFAULT,
    }),
    adapter: adapterOption,
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
    if (settings.draft !== undefined && settings.adapter !== undefined) {
      throw new ClawError(
        "E_USAGE",
        "--draft compares models without adapters; leave out --draft or --adapter.",
      );
    }
    const documents = Array.from(readDocuments(text), (document) => firstBytes(document, bytes));
    const size = documents.reduce((sum, document) => sum + Buffer.byteLength(document), 0);
    if (size === 0) throw new ClawError("E_CORPUS", `${text} has no text to predict.`);
    const perByte = (nats: number): number => Math.exp(nats / size);
    const path = chooseModel(settings.model);
    const opened = openModel(path);
    const texts = begunTexts(opened.tokenizer, documents);
    const model = perByte(
      await withScoring(opened, settings, (runtime, window) => scoreTexts(runtime, texts, window)),
    );
    const fiveGram = corpus === undefined ? null : perByte(scoreGrams(corpus, documents));
    const { draft, positions } = settings;
    const agreement =
      draft === undefined ? null : await measureDraft({ model: path, draft, texts, positions }, settings);
    if (settings.json) return printJson({ bytes: size, model, five_gram: fiveGram, draft: agreement });
    await print(`${basename(path)}: perplexity ${model.toFixed(4)} per byte over ${size} bytes.\n`);
    if (fiveGram !== null)
      await print(`5-gram of ${basename(corpus ?? "")}: ${fiveGram.toFixed(4)} per byte.\n`);
    if (agreement !== null) await print(`${draftLines(basename(draft ?? ""), agreement).join("\n")}\n`);
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

/** Nats in all: of every token of every text, from those before it in its window. */
async function scoreTexts(runtime: Runtime, texts: readonly Int32Array[], window: number): Promise<number> {
  const total = texts.reduce((sum, tokens) => sum + tokens.length, 0);
  const progress = progressLine("Scoring:");
  const { logits: all, outputs } = runtime.executable.step;
  const normalizer = new LogSumExp(all.length / outputs.length);
  let [nats, done] = [0, 0];
  for (const tokens of windowsOf(texts, window)) {
    const visit = (position: number, logits: Float32Array): void => {
      nats += normalizer.of(logits) - at(logits, at(tokens, position + 1));
    };
    await scoreTokens(runtime, tokens.subarray(0, -1), { from: 0, visit, adapter: givenAdapter(runtime) });
    done += tokens.length - 1;
    progress(done / total);
  }
  progress(1);
  return nats;
}
