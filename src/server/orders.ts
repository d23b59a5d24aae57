/** From a request to an order: what decides every token and every event of its answers, as plain data. */

import { ClawError } from "../base/mod.ts";
import { defaultSampling, type SamplingParameters, type TextRequest } from "../engine/mod.ts";
import type { AnswerParameters, ResponseHead } from "../protocol/openai/mod.ts";
import type { Caller } from "./keys.ts";
import type { Kind, KindName } from "./kinds.ts";
import type { ServedModel } from "./models.ts";
import { checkLengths } from "./prompts.ts";

/** Any process with the same model answers it with the same bytes. */
export interface Order {
  readonly kind: KindName;
  readonly head: ResponseHead;
  readonly prompts: readonly OrderedPrompt[];
  /** Answers to each prompt. */
  readonly choices: number;
  /** What all answers have alike; the choice in it is 0. */
  readonly answer: Omit<TextRequest, "prompt" | "maxTokens">;
  /** Whether a stream ends with the count of tokens. */
  readonly includeUsage: boolean;
  /** How urgent; lower numbers come first. */
  readonly priority: number;
}

interface OrderedPrompt {
  readonly tokens: Int32Array;
  readonly maxTokens: number;
}

/** One for each answer, prompt by prompt; the same ones as if each prompt had come alone. */
export function jobsOf({ prompts, choices, answer }: Order): TextRequest[] {
  return prompts.flatMap(({ tokens, maxTokens }) =>
    Array.from({ length: choices }, (_, choice) => ({
      ...answer,
      prompt: tokens,
      maxTokens,
      sampling: { ...answer.sampling, choice },
    })),
  );
}

export function answersOf({ prompts, choices }: Order): number {
  return prompts.length * choices;
}

export function promptTokensOf({ prompts }: Order): number {
  return prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

interface OrderParts<R extends AnswerParameters> {
  readonly kind: Kind<R>;
  readonly model: ServedModel;
  readonly caller: Caller | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly randomSeed: () => number;
  readonly randomId: () => string;
}

/** Errors: E_CONTEXT, E_TEMPLATE, E_PARAMETER. */
export function orderOf<R extends AnswerParameters>(request: R, parts: OrderParts<R>): Order {
  const { kind, model, caller, now, randomSeed, randomId } = parts;
  const { prompts, date } = kind.tokenize(request, model, dayOf(now));
  checkLengths(prompts, { context: model.context, maxTokens: request.maxTokens });
  const sampling = samplingOf(request, request.seed ?? randomSeed());
  const head = {
    id: `${kind.format.idPrefix}-${randomId()}`,
    created: Math.floor(now / 1000),
    model: model.id,
    fingerprint: model.fingerprint,
    seed: sampling.seed,
    date,
  };
  return {
    kind: kind.name,
    head,
    prompts: prompts.map((tokens) => ({
      tokens,
      maxTokens: request.maxTokens ?? model.context - tokens.length,
    })),
    choices: request.choices,
    answer: {
      sampling,
      stopStrings: [...request.stopStrings, ...kind.stops(model)],
      stopTokens: request.stopTokens,
      ignoreEnd: request.ignoreEnd,
      adapter: model.adapter?.digest,
    },
    includeUsage: request.includeUsage,
    priority: priorityOf(request, caller),
  };
}

/** Errors: E_PARAMETER where the key may not ask for that. */
function priorityOf({ priority }: AnswerParameters, caller: Caller | undefined): number {
  const least = caller?.priorityMin ?? 0;
  if (priority === undefined) return Math.max(0, least);
  if (priority >= least) return priority;
  throw new ClawError("E_PARAMETER", `The priority is ${priority}; this key may ask for ${least} at least.`, {
    param: "priority",
  });
}

/** In UTC, as YYYY-MM-DD. */
function dayOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}

function samplingOf(request: AnswerParameters, seed: number): SamplingParameters {
  const usual = defaultSampling;
  return {
    temperature: request.temperature ?? usual.temperature,
    topK: request.topK ?? usual.topK,
    topP: request.topP ?? usual.topP,
    minP: request.minP ?? usual.minP,
    repetitionPenalty: request.repetitionPenalty ?? usual.repetitionPenalty,
    repetitionWindow: request.repetitionWindow ?? usual.repetitionWindow,
    frequencyPenalty: request.frequencyPenalty ?? usual.frequencyPenalty,
    presencePenalty: request.presencePenalty ?? usual.presencePenalty,
    logitBias: request.logitBias,
    logprobs: request.logprobs,
    seed,
    choice: 0,
  };
}
