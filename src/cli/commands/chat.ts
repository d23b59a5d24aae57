/** I/O: `claw chat`: a conversation at the terminal, or with lines from a pipe. */

import { createInterface, type Interface } from "node:readline";
import { type LocalModel, randomSeed } from "../../app.ts";
import { asClawError, ClawError } from "../../base/mod.ts";
import { textOption } from "../../config/mod.ts";
import { abortable, generateText } from "../../engine/mod.ts";
import { type ChatMessage, encodePieces, plainStops } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { chooseModel } from "../files.ts";
import { type GenerationOptions, generationOptions, loadForOne, textRequest } from "../generation.ts";
import { note, noteError, print } from "../terminal.ts";

interface ChatOptions extends GenerationOptions {
  readonly system: string | undefined;
}

export const chat: Command = defineCommand<ChatOptions>({
  name: "chat",
  summary: "Talks with a model. /clear begins again, /exit ends, Ctrl-C stops an answer.",
  options: {
    ...generationOptions,
    system: textOption({
      flag: "system",
      placeholder: "TEXT",
      meaning: "what the model is told before the conversation",
      default: undefined,
    }),
  },
  run: async (options) => {
    const model = await loadForOne(chooseModel(options.model), options);
    const lines = createInterface(
      process.stdin.isTTY && process.stdout.isTTY
        ? { input: process.stdin, output: process.stdout, prompt: "> " }
        : { input: process.stdin },
    );
    const conversation = new Conversation(model, options);
    const interrupt = (): void => {
      if (!conversation.interrupt()) lines.close();
    };
    lines.on("SIGINT", interrupt);
    process.on("SIGINT", interrupt);
    await converse(lines, conversation);
    process.off("SIGINT", interrupt);
    lines.close();
    await model.engine.close();
  },
});

async function converse(lines: Interface, conversation: Conversation): Promise<void> {
  let open = lines.terminal;
  lines.once("close", () => {
    open = false;
  });
  const ask = (): void => {
    if (open) lines.prompt();
  };
  ask();
  for await (const line of lines) {
    const said = line.trim();
    if (said === "/exit") return;
    if (said === "/clear") conversation.clear();
    else if (said !== "") await conversation.answer(said);
    ask();
  }
}

class Conversation {
  readonly #model: LocalModel;
  readonly #options: ChatOptions;
  readonly #seed: number;
  #messages: ChatMessage[] = [];
  /** Stops the answer that is being given. */
  #stop: AbortController | undefined;

  constructor(model: LocalModel, options: ChatOptions) {
    this.#model = model;
    this.#options = options;
    this.#seed = options.seed ?? randomSeed();
    this.clear();
  }

  clear(): void {
    const { system } = this.#options;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /** Stops the answer that is being given, also while its prompt is being read; false when there is none. */
  interrupt(): boolean {
    this.#stop?.abort();
    return this.#stop !== undefined;
  }

  /** Prints the answer to `said` as it comes. What cannot be answered is noted and forgotten. */
  async answer(said: string): Promise<void> {
    this.#messages.push({ role: "user", content: said });
    this.#stop = new AbortController();
    try {
      const content = await this.#generate(this.#stop.signal);
      // What was stopped before its first word was never said.
      if (content === undefined) this.#messages.pop();
      else this.#messages.push({ role: "assistant", content });
    } catch (error) {
      this.#messages.pop();
      noteError(asClawError(error));
      if (error instanceof ClawError && error.code === "E_CONTEXT") note("/clear begins a new conversation.");
    } finally {
      this.#stop = undefined;
    }
  }

  /** The answer, or as much of it as came before it was stopped; undefined for nothing at all. */
  async #generate(signal: AbortSignal): Promise<string | undefined> {
    const { tokenizer, template, engine, info } = this.#model;
    const pieces = template.render(this.#messages, { addGenerationPrompt: true, now: new Date() });
    const request = textRequest(encodePieces(tokenizer, pieces), this.#options, {
      seed: this.#seed,
      info,
      stopStrings: template.source === "plain" ? plainStops : [],
    });
    let answer = "";
    try {
      for await (const { text } of generateText(abortable(engine, signal), tokenizer, request)) {
        answer += text;
        await print(text);
      }
    } catch (error) {
      if (asClawError(error).code !== "E_CANCELLED") throw error;
    }
    await print("\n");
    return signal.aborted && answer === "" ? undefined : answer.trim();
  }
}
