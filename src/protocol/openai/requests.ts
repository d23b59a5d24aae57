/** The requests of OpenAI's API that are answered here, checked and with one spelling for each thing. */

import { z } from "zod";
import {
  ANSWERS_MAX,
  CHOICES_MAX,
  COMPLETION_TOKENS_DEFAULT,
  MESSAGES_MAX,
  PRIORITY_MAX,
  TOP_LOGPROBS_MAX,
} from "./limits.ts";
import { readBias, readContent, readList, readPrompts, readStopStrings, readStopTokens } from "./lists.ts";
import { chatUnsupported, completionUnsupported, messageUnsupported } from "./unsupported.ts";
import { invalid, isObject, readObject, strictObject, validate } from "./validation.ts";

/** What both kinds of request say about the answers. Undefined: not said. */
export interface AnswerParameters {
  /** Undefined: the one that is served. */
  readonly model: string | undefined;
  /** Answers to each prompt. */
  readonly choices: number;
  readonly stream: boolean;
  /** Whether a stream ends with the count of tokens. */
  readonly includeUsage: boolean;
  /** Whether a stream can be gone on with over another connection; undefined: as the server has it. */
  readonly resumable: boolean | undefined;
  readonly maxTokens: number | undefined;
  readonly stopStrings: readonly string[];
  readonly stopTokens: readonly number[];
  readonly ignoreEnd: boolean;
  readonly seed: number | undefined;
  /** Lower numbers come first, as in vLLM. */
  readonly priority: number | undefined;
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
  /** The day, as YYYY-MM-DD, that a chat template is told; undefined: today. */
  readonly date: string | undefined;
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

const numberField = z.number().optional();
const countField = z.int().optional();
const switchField = z.boolean().optional();
const topField = z.int().min(0).max(TOP_LOGPROBS_MAX).optional();
/** Read afterwards, by a function of lists.ts. */
const listField = z.unknown().optional();

/** Ranges that depend on the sampler are the engine's to check; it names the same parameters. */
const answerShape = {
  model: z.string().min(1).optional(),
  max_tokens: z.int().min(1).optional(),
  n: z.int().min(1).max(CHOICES_MAX).optional(),
  stream: switchField,
  stream_options: strictObject({ include_usage: switchField, include_obfuscation: switchField }).optional(),
  stop: listField,
  stop_token_ids: listField,
  ignore_eos: switchField,
  seed: countField,
  priority: z.int().min(-PRIORITY_MAX).max(PRIORITY_MAX).optional(),
  temperature: numberField,
  top_k: countField,
  top_p: numberField,
  min_p: numberField,
  repetition_penalty: numberField,
  repetition_window: countField,
  frequency_penalty: numberField,
  presence_penalty: numberField,
  logit_bias: listField,
};

type AnswerFields = z.infer<ReturnType<typeof strictObject<typeof answerShape>>>;

interface Extension {
  readonly openclaw?: { readonly resumable?: boolean | undefined } | undefined;
}

const messageSchema = strictObject(
  {
    role: z.enum(["system", "developer", "user", "assistant"]),
    content: z.unknown(),
    name: z.string().optional(),
  },
  messageUnsupported,
);

const chatSchema = strictObject(
  {
    ...answerShape,
    max_completion_tokens: z.int().min(1).optional(),
    messages: z.unknown(),
    logprobs: switchField,
    top_logprobs: topField,
    openclaw: strictObject({ date: z.iso.date().optional(), resumable: switchField }).optional(),
  },
  chatUnsupported,
);

const completionSchema = strictObject(
  {
    ...answerShape,
    prompt: z.unknown(),
    logprobs: topField,
    openclaw: strictObject({ resumable: switchField }).optional(),
  },
  completionUnsupported,
);

/** Reads the body of `POST /v1/chat/completions`. Errors: E_JSON, E_PARAMETER, E_UNSUPPORTED. */
export function readChatRequest(body: unknown): ChatRequest {
  const fields = validate(chatSchema, readObject(body), { unsupported: chatUnsupported });
  const { logprobs = false, top_logprobs: top } = fields;
  if (top !== undefined && !logprobs) throw invalid("top_logprobs", "needs logprobs to be true");
  return {
    ...answerParameters(fields),
    resumable: readResumable(fields),
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens,
    logprobs: logprobs ? (top ?? 0) : undefined,
    messages: readMessages(fields.messages),
    date: fields.openclaw?.date,
  };
}

/** Reads the body of `POST /v1/completions`. Errors: E_JSON, E_PARAMETER, E_UNSUPPORTED. */
export function readCompletionRequest(body: unknown): CompletionRequest {
  const fields = validate(completionSchema, readObject(body), { unsupported: completionUnsupported });
  const prompts = readPrompts(fields.prompt);
  const answers = prompts.length * (fields.n ?? 1);
  if (answers > ANSWERS_MAX) {
    throw invalid("prompt", `asks for ${answers} answers; at most ${ANSWERS_MAX} are given`);
  }
  const maxTokens = fields.max_tokens ?? COMPLETION_TOKENS_DEFAULT;
  const resumable = readResumable(fields);
  return { ...answerParameters(fields), resumable, maxTokens, logprobs: fields.logprobs, prompts };
}

function readMessages(value: unknown): Message[] {
  return readList(value, "messages", [1, MESSAGES_MAX]).map((given, index) => {
    const param = `messages[${index}]`;
    if (!isObject(given)) throw invalid(param, "is not valid: expected an object");
    const prefix = `${param}.`;
    const { role, content, name } = validate(messageSchema, given, {
      unsupported: messageUnsupported,
      prefix,
    });
    const text = readContent(content, `${prefix}content`);
    return { role, content: text, ...(name === undefined ? {} : { name }) };
  });
}

function readResumable({ stream, openclaw }: AnswerFields & Extension): boolean | undefined {
  const resumable = openclaw?.resumable;
  if (resumable !== true || stream === true) return resumable;
  throw invalid("openclaw.resumable", "needs stream to be true");
}

function answerParameters(
  fields: AnswerFields,
): Omit<AnswerParameters, "maxTokens" | "logprobs" | "resumable"> {
  return {
    model: fields.model,
    choices: fields.n ?? 1,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    stopStrings: readStopStrings(fields.stop),
    stopTokens: readStopTokens(fields.stop_token_ids),
    ignoreEnd: fields.ignore_eos ?? false,
    seed: fields.seed,
    priority: fields.priority,
    temperature: fields.temperature,
    topK: fields.top_k,
    topP: fields.top_p,
    minP: fields.min_p,
    repetitionPenalty: fields.repetition_penalty,
    repetitionWindow: fields.repetition_window,
    frequencyPenalty: fields.frequency_penalty,
    presencePenalty: fields.presence_penalty,
    logitBias: readBias(fields.logit_bias),
  };
}
