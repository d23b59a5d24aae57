/** I/O: `claw run`: continues a text; it reads the clock for the timings. */

import { modelId, randomSeed } from "../../app.ts";
import { RUN_TOKENS_DEFAULT, switchOption } from "../../config/mod.ts";
import { type FinishReason, generateText } from "../../engine/mod.ts";
import { encodePieces } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { type GenerationOptions, generationOptions, loadForOne, textRequest } from "../generation.ts";
import { print, printJson } from "../terminal.ts";

interface RunOptions extends GenerationOptions {
  readonly json: boolean;
}

export const run: Command = defineCommand<RunOptions>({
  name: "run",
  summary: "Continues a text and prints the continuation.",
  operands: "PROMPT",
  operandCount: [1, 1],
  options: {
    ...generationOptions,
    maxTokens: { ...generationOptions.maxTokens, default: RUN_TOKENS_DEFAULT },
    json: switchOption("json", "print an object with tokens and timings instead of the text"),
  },
  run: async (options, [text = ""]) => {
    const path = chooseModel(options.model);
    const started = performance.now();
    const { tokenizer, engine, info } = await loadForOne(path, options);
    const loaded = performance.now();
    const prompt = encodePieces(tokenizer, [{ text, special: true }]);
    const seed = options.seed ?? randomSeed();
    const request = textRequest(prompt, options, { seed, info, stopStrings: [] });
    const answer = { text: "", tokens: [] as number[], finish: undefined as FinishReason | undefined };
    let first = loaded;
    for await (const event of generateText(engine, tokenizer, request)) {
      if (answer.tokens.length === 0) first = performance.now();
      if (event.token !== undefined) answer.tokens.push(event.token.token);
      answer.text += event.text;
      answer.finish = event.finish;
      if (!options.json && event.text !== "") await print(event.text);
    }
    const timings = timingsOf({ started, loaded, first, tokens: answer.tokens.length }, performance.now());
    if (options.json) {
      const { format, device, weights } = info;
      const head = { model: modelId(path), format, device, weights, seed, prompt_tokens: [...prompt] };
      await printJson({ ...head, ...answer, timings });
    } else {
      await print("\n");
    }
    await engine.close();
  },
});

interface Marks {
  readonly started: number;
  readonly loaded: number;
  readonly first: number;
  readonly tokens: number;
}

function timingsOf({ started, loaded, first, tokens }: Marks, ended: number): object {
  const round = (value: number): number => Math.round(value * 100) / 100;
  return {
    load_ms: round(loaded - started),
    first_token_ms: round(first - loaded),
    tokens_per_second: tokens < 2 ? null : round(((tokens - 1) * 1000) / (ended - first)),
  };
}
