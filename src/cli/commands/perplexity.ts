/** I/O: `claw perplexity`: how well a model predicts a text; it can write the logits it scored to a file. */

import { closeSync, openSync, writeSync } from "node:fs";
import { attempt } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import {
  CONTEXT_MAX,
  deviceOptions,
  modelOptions,
  numberOption,
  switchOption,
  textOption,
} from "../../config/mod.ts";
import { measurePerplexity } from "../../engine/mod.ts";
import { openModel } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel, readText } from "../files.ts";
import { adapterOption, givenAdapter, type ScoringOptions, withScoring } from "../scoring.ts";
import { print, printJson, progressLine } from "../terminal.ts";

interface PerplexityOptions extends ScoringOptions {
  readonly text: string | undefined;
  readonly logits: string | undefined;
  readonly json: boolean;
}

export const perplexity: Command = defineCommand<PerplexityOptions>({
  name: "perplexity",
  summary: "Measures how well a model predicts a text, as llama.cpp's llama-perplexity does.",
  options: {
    ...modelOptions,
    text: textOption({ flag: "text", placeholder: "FILE", meaning: "the text, UTF-8", default: undefined }),
    adapter: adapterOption,
    ...deviceOptions,
    window: numberOption({
      flag: "window",
      meaning: "tokens in a window",
      range: [4, CONTEXT_MAX],
      default: undefined,
      otherwise: "512, or the model's context where that is smaller",
    }),
    logits: textOption({
      flag: "logits",
      placeholder: "FILE",
      meaning: "write the scored logits to a file: f32, little endian, a row for each token",
      default: undefined,
    }),
    json: switchOption("json", "print an object instead of a line"),
  },
  run: async (options) => {
    if (options.text === undefined) throw new ClawError("E_USAGE", "claw perplexity needs --text FILE.");
    const text = readText(options.text);
    const model = openModel(chooseModel(options.model));
    const tokens = model.tokenizer.encode(text, { addSpecial: true, parseSpecial: false });
    const output = options.logits === undefined ? undefined : createOutput(options.logits);
    const { bos, addBos } = model.tokenizer;
    const onProgress = progressLine("Scoring:");
    const onRow = (logits: Float32Array): void => output?.write(logits);
    const result = await withScoring(model, options, async (runtime, window) => {
      const adapter = givenAdapter(runtime);
      const scoring = { window, bos: addBos ? bos : undefined, adapter, onRow, onProgress };
      return { ...(await measurePerplexity(runtime, tokens, scoring)), window };
    }).finally(() => output?.close());
    const { format } = options;
    if (options.json) return printJson({ ...result, tokens: tokens.length, format });
    const scored = `${result.count} tokens in ${result.windows} windows of ${result.window}`;
    return print(`Perplexity ${result.perplexity.toFixed(4)} over ${scored}, ${format}.\n`);
  },
});

interface Output {
  write(row: Float32Array): void;
  close(): void;
}

/** A file that is made, or emptied, when the first row is there: a text or model that is refused leaves it alone. */
function createOutput(path: string): Output {
  const cannot = `Cannot write ${path}`;
  let opened: number | undefined;
  const write = (row: Float32Array): void => {
    opened ??= attempt(cannot, () => openSync(path, "w"));
    const descriptor = opened;
    const bytes = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
    for (let done = 0; done < bytes.length; )
      done += attempt(cannot, () => writeSync(descriptor, bytes, done));
  };
  const close = (): void => {
    if (opened !== undefined) closeSync(opened);
  };
  return { write, close };
}
