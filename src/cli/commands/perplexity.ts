/** I/O: `claw perplexity`: how well a model predicts a text; it can write the logits it scored to a file. */

import { closeSync, openSync, writeSync } from "node:fs";
import { packedCacheOf } from "../../app.ts";
import { ClawError } from "../../base/mod.ts";
import {
  CONTEXT_MAX,
  type DeviceOptions,
  deviceOptions,
  type ModelOptions,
  modelOptions,
  numberOption,
  switchOption,
  textOption,
} from "../../config/mod.ts";
import {
  createRuntime,
  measurePerplexity,
  openDevice,
  type Perplexity,
  STEP_ROWS_DEFAULT,
} from "../../engine/mod.ts";
import { type Model, openModel, openPackedCache } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel, readText } from "../files.ts";
import { note, print, printJson, progressLine } from "../terminal.ts";

interface PerplexityOptions extends ModelOptions, DeviceOptions {
  readonly text: string | undefined;
  readonly window: number | undefined;
  readonly logits: string | undefined;
  readonly json: boolean;
}

/** Tokens in a window where the model has that much context. */
const WINDOW_DEFAULT = 512;
/** Positions whose logits are computed together. */
const OUTPUTS = 64;

export const perplexity: Command = defineCommand<PerplexityOptions>({
  name: "perplexity",
  summary: "Measures how well a model predicts a text, as llama.cpp's llama-perplexity does.",
  options: {
    ...modelOptions,
    text: textOption({ flag: "text", placeholder: "FILE", meaning: "the text, UTF-8", default: undefined }),
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
    const window = options.window ?? Math.min(WINDOW_DEFAULT, model.description.context);
    const result = await measure(model, tokens, { ...options, window });
    const { format } = options;
    if (options.json) return printJson({ ...result, window, tokens: tokens.length, format });
    const scored = `${result.count} tokens in ${result.windows} windows of ${window}`;
    return print(`Perplexity ${result.perplexity.toFixed(4)} over ${scored}, ${format}.\n`);
  },
});

async function measure(
  model: Model,
  tokens: Int32Array,
  options: PerplexityOptions & { readonly window: number },
): Promise<Perplexity> {
  const { window, format, kvFormat, tensorParallelismDegree: degree } = options;
  const { device, warning } = await openDevice(options);
  if (warning !== undefined) note(warning);
  const output = options.logits === undefined ? undefined : createOutput(options.logits);
  try {
    const sizes = { context: window, batch: 1, rows: STEP_ROWS_DEFAULT, outputs: OUTPUTS };
    const settings = packedCacheOf(options);
    const packed = await openPackedCache(device, model, { format, degree, settings, onNote: note });
    const runtime = await createRuntime(device, model, { format, kvFormat, degree, packed, ...sizes });
    const keeping = packed?.save();
    const { bos, addBos } = model.tokenizer;
    const onProgress = progressLine("Scoring:");
    const onRow = (logits: Float32Array): void => output?.write(logits);
    const scoring = { window, bos: addBos ? bos : undefined, onRow, onProgress };
    const result = await measurePerplexity(runtime, tokens, scoring);
    await keeping;
    return result;
  } finally {
    output?.close();
    device.close();
    model.close();
  }
}

interface Output {
  write(row: Float32Array): void;
  close(): void;
}

/** A file that is made, or emptied, when the first row is there: a text or model that is refused leaves it alone. */
function createOutput(path: string): Output {
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ClawError("E_FILE", `Cannot write ${path}: ${reason}.`, { cause: error });
    }
  };
  let opened: number | undefined;
  const write = (row: Float32Array): void => {
    opened ??= attempt(() => openSync(path, "w"));
    const descriptor = opened;
    const bytes = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
    for (let done = 0; done < bytes.length; ) done += attempt(() => writeSync(descriptor, bytes, done));
  };
  const close = (): void => {
    if (opened !== undefined) closeSync(opened);
  };
  return { write, close };
}
