/** `claw bench perplexity`: how well a quantized model predicts a text, beside the one llama.cpp makes of it. */

import { basename } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { comparePerplexity, PERPLEXITY_WINDOW } from "../../bench/mod.ts";
import { CONTEXT_MAX, type ModelOptions, modelOptions, numberOption, textOption } from "../../config/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel, readText } from "../files.ts";
import { type QualityOptions, qualityOptions, report } from "../quality.ts";
import { progressLine } from "../terminal.ts";

interface PerplexitySettings extends ModelOptions, QualityOptions {
  readonly text: string | undefined;
  readonly bytes: number | undefined;
  readonly window: number | undefined;
}

export const benchPerplexity: Command = defineCommand<PerplexitySettings>({
  name: "bench perplexity",
  summary:
    "Measures how well a quantized model predicts a text, beside what llama.cpp makes of the same file.",
  options: {
    ...modelOptions,
    text: textOption({ flag: "text", placeholder: "FILE", meaning: "the text, UTF-8", default: undefined }),
    bytes: numberOption({
      flag: "bytes",
      meaning: "how much of the text is taken, from its beginning",
      range: [1, Number.MAX_SAFE_INTEGER],
      default: undefined,
      otherwise: "all",
    }),
    window: numberOption({
      flag: "window",
      meaning: "tokens in a window",
      range: [4, CONTEXT_MAX],
      default: undefined,
      otherwise: `${PERPLEXITY_WINDOW}, or the model's context where that is smaller`,
    }),
    ...qualityOptions,
  },
  run: async (settings) => {
    const { text, bytes, window, format, mixture, threads, peer } = settings;
    if (text === undefined) throw new ClawError("E_USAGE", "claw bench perplexity needs --text FILE.");
    const path = chooseModel(settings.model);
    const measured = await comparePerplexity({
      path,
      text: firstBytes(readText(text), bytes),
      format,
      mixture,
      window,
      threads,
      peer: peer !== undefined,
      onProgress: progressLine("Scoring:"),
    });
    return report(measured, settings, { model: basename(path), text: basename(text), bytes, window });
  },
});

/** The text's first bytes, without a character that is cut in two. */
function firstBytes(text: string, bytes: number | undefined): string {
  return bytes === undefined
    ? text
    : new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, bytes), { stream: true });
}
