/** The requests of OpenAI's API that are answered here, checked and with one spelling for each thing. */

import { z } from "zod";
import { ClawError } from "../../base/mod.ts";
import {
  ANSWERS_MAX,
  CHOICES_MAX,
  COMPLETION_TOKENS_DEFAULT,
  MESSAGES_MAX,
  STOP_LENGTH_MAX,
  STOPS_MAX,
} from "./limits.ts";
import { chatUnsupported, completionUnsupported, messageUnsupported } from "./unsupported.ts";
import { refuseUnsupported, strictObject, validate } from "./validation.ts";

/** What both kinds of request say about the answers. Undefined: not said. */
export interface AnswerParameters {
  /** Undefined: the one that is served. */
  readonly model: string | undefined;
  /** Answers to each prompt. */
  readonly choices: number;
  readonly stream: boolean;
  /** Whether a stream ends with the count of tokens. */
  readonly includeUsage: boolean;
  readonly maxTokens: number | undefined;
  readonly stopStrings: readonly string[];
  readonly stopTokens: readonly number[];
  readonly ignoreEnd: boolean;
  readonly seed: number | undefined;
  /** Alternatives to report beside each token's log-probability; undefined reports neither. */
  readonly logprobs: number | undefined;
  readonly temperature: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  readonly repetitionWindow: number | undefined;
  readonly frequencyPenalty: number | undefined;
  readonly presencePenalty: number | undefined;
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
}

export interface ChatRequest extends AnswerParameters {
  readonly messages: readonly Message[];
}

export interface Message {
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly content: string;
  readonly name?: string;
}

export interface CompletionRequest extends AnswerParameters {
  /** Texts or token ids. */
  readonly prompts: readonly (string | readonly number[])[];
}

const stopString = z.string().max(STOP_LENGTH_MAX);
const tokenIds = z.array(z.int());
const numberField = z.number().optional();
const countField = z.int().optional();
const switchField = z.boolean().optional();

/** Ranges that depend on the sampler are the engine's to check; it names the same parameters. */
const answerShape = {
  model: z.string().min(1).optional(),
  max_tokens: z.int().min(1).optional(),
  n: z.int().min(1).max(CHOICES_MAX).optional(),
  stream: switchField,
  stream_options: strictObject({ include_usage: switchField, include_obfuscation: switchField }).optional(),
  stop: z
    .union([stopString, z.array(stopString).max(STOPS_MAX)], {
      error: `expected a string or at most ${STOPS_MAX} strings of at most ${STOP_LENGTH_MAX} characters`,
    })
    .optional(),
  stop_token_ids: tokenIds.optional(),
  ignore_eos: switchField,
  seed: countField,
  temperature: numberField,
  top_k: countField,
  top_p: numberField,
  min_p: numberField,
  repetition_penalty: numberField,
  repetition_window: countField,
  frequency_penalty: numberField,
  presence_penalty: numberField,
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/), z.number(), {
      error: "expected an object of token ids and numbers",
    })
    .optional(),
};

type AnswerFields = z.infer<ReturnType<typeof strictObject<typeof answerShape>>>;

const contentPart = strictObject({ type: z.literal("text"), text: z.string() });

const message = strictObject(
  {
    role: z.enum(["system", "developer", "user", "assistant"]),
    content: z.union([z.string(), z.array(contentPart)], {
      error: "expected a string or an array of text parts",
    }),
    name: z.string().optional(),
  },
  messageUnsupported,
);

const chatSchema = strictObject(
  {
    ...answerShape,
    max_completion_tokens: z.int().min(1).optional(),
    messages: z.array(message).min(1).max(MESSAGES_MAX),
    logprobs: switchField,
    top_logprobs: countField,
  },
  chatUnsupported,
);

const completionSchema = strictObject(
  {
    ...answerShape,
    prompt: z.union([z.string(), z.array(z.string()), tokenIds, z.array(tokenIds)], {
      error: "expected a string, an array of token ids, or an array of either",
    }),
    logprobs: countField,
  },
  completionUnsupported,
);

/** Reads the body of `POST /v1/chat/completions`. Errors: E_JSON, E_PARAMETER, E_UNSUPPORTED. */
export function readChatRequest(body: unknown): ChatRequest {
  refuseInMessages(body);
  const fields = validate(chatSchema, body, chatUnsupported);
  const { logprobs = false, top_logprobs: top } = fields;
  if (top !== undefined && !logprobs) throw invalid("top_logprobs", "needs logprobs to be true");
  const messages = fields.messages.map(({ role, content, name }) => ({
    role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join(""),
    ...(name === undefined ? {} : { name }),
  }));
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens;
  return { ...answerParameters(fields), maxTokens, logprobs: logprobs ? (top ?? 0) : undefined, messages };
}

/** Reads the body of `POST /v1/completions`. Errors: E_JSON, E_PARAMETER, E_UNSUPPORTED. */
export function readCompletionRequest(body: unknown): CompletionRequest {
  const fields = validate(completionSchema, body, completionUnsupported);
  const prompts = promptList(fields.prompt);
  const answers = prompts.length * (fields.n ?? 1);
  if (answers < 1 || answers > ANSWERS_MAX) {
    throw invalid("prompt", `asks for ${answers} answers; 1 to ${ANSWERS_MAX} are given`);
  }
  const maxTokens = fields.max_tokens ?? COMPLETION_TOKENS_DEFAULT;
  return { ...answerParameters(fields), maxTokens, logprobs: fields.logprobs, prompts };
}

function answerParameters(fields: AnswerFields): Omit<AnswerParameters, "maxTokens" | "logprobs"> {
  const { stop = [] } = fields;
  return {
    model: fields.model,
    choices: fields.n ?? 1,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    stopStrings: typeof stop === "string" ? [stop] : stop,
    stopTokens: fields.stop_token_ids ?? [],
    ignoreEnd: fields.ignore_eos ?? false,
    seed: fields.seed,
    temperature: fields.temperature,
    topK: fields.top_k,
    topP: fields.top_p,
    minP: fields.min_p,
    repetitionPenalty: fields.repetition_penalty,
    repetitionWindow: fields.repetition_window,
    frequencyPenalty: fields.frequency_penalty,
    presencePenalty: fields.presence_penalty,
    logitBias: Object.entries(fields.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias] as const),
  };
}

/** An array of numbers is one prompt, an array of anything else several. */
function promptList(prompt: z.infer<typeof completionSchema>["prompt"]): CompletionRequest["prompts"] {
  if (typeof prompt === "string") return [prompt];
  const isOne = (list: typeof prompt): list is number[] => typeof list[0] === "number";
  return isOne(prompt) ? [prompt] : (prompt as readonly (string | readonly number[])[]);
}

function refuseInMessages(body: unknown): void {
  const messages = (body as { readonly messages?: unknown } | null)?.messages;
  if (!Array.isArray(messages)) return;
  messages.forEach((given: unknown, index) => {
    if (typeof given !== "object" || given === null) return;
    refuseUnsupported(given, messageUnsupported, `messages[${index}].`);
  });
}

function invalid(param: string, problem: string): ClawError {
  return new ClawError("E_PARAMETER", `The parameter ${param} ${problem}.`, { param });
}
