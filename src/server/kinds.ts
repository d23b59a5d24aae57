/** The two kinds of request, and what tells them apart. */

import { encodePieces, plainStops } from "../model/mod.ts";
import {
  type AnswerParameters,
  type ChatRequest,
  type CompletionRequest,
  chatFormat,
  completionFormat,
  type ResponseFormat,
  readChatRequest,
  readCompletionRequest,
} from "../protocol/openai/mod.ts";
import type { ServedModel } from "./models.ts";
import { checkTexts } from "./prompts.ts";

interface Tokenized {
  readonly prompts: readonly Int32Array[];
  /** The day that went into them, if one may have. */
  readonly date: string | undefined;
}

export type KindName = "chat" | "completion";

/** What tells one kind of request from another. */
export interface Kind<R extends AnswerParameters> {
  readonly name: KindName;
  /** The path that it comes to. */
  readonly endpoint: string;
  readonly format: ResponseFormat;
  read(body: unknown): R;
  /** The prompts' tokens. `today` is the day as YYYY-MM-DD. Errors: E_CONTEXT, E_TEMPLATE. */
  tokenize(request: R, model: ServedModel, today: string): Tokenized;
  /** Stop strings that the request need not name. */
  stops(model: ServedModel): readonly string[];
}

export const chat: Kind<ChatRequest> = {
  name: "chat",
  endpoint: "/v1/chat/completions",
  format: chatFormat,
  read: readChatRequest,
  tokenize: ({ messages, date: wanted }, model, today) => {
    const date = wanted ?? today;
    checkTexts(
      messages.map(({ content }) => content),
      model,
    );
    // The day alone, at its midnight in UTC: a template that shows the time of day could not be answered again.
    const pieces = model.template.render(messages, { addGenerationPrompt: true, now: new Date(date) });
    checkTexts(
      pieces.map(({ text }) => text),
      model,
    );
    return { prompts: [encodePieces(model.tokenizer, pieces)], date };
  },
  stops: ({ template }) => (template.source === "plain" ? plainStops : []),
};

export const completion: Kind<CompletionRequest> = {
  name: "completion",
  endpoint: "/v1/completions",
  format: completionFormat,
  read: readCompletionRequest,
  tokenize: ({ prompts }, model) => {
    const tokensOf = (prompt: (typeof prompts)[number]): Int32Array => {
      if (typeof prompt !== "string") return Int32Array.from(prompt);
      checkTexts([prompt], model);
      return encodePieces(model.tokenizer, [{ text: prompt, special: true }]);
    };
    return { prompts: prompts.map(tokensOf), date: undefined };
  },
  stops: () => [],
};

/** What is known of a kind by its name alone. */
export const kinds: Readonly<Record<KindName, Pick<Kind<never>, "endpoint" | "format">>> = {
  chat,
  completion,
};
