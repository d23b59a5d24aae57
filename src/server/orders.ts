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
  /** One for each answer, prompt by prompt. */
  readonly jobs: readonly TextRequest[];
  readonly promptTokens: number;
  /** Whether a stream ends with the count of tokens. */
  readonly includeUsage: boolean;
  /** How urgent; lower numbers come first. */
  readonly priority: number;
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
    jobs: answerJobs(prompts, { request, sampling, model, stops: kind.stops(model) }),
    promptTokens: prompts.reduce((sum, prompt) => sum + prompt.length, 0),
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

interface JobOptions {
  readonly request: AnswerParameters;
  readonly sampling: SamplingParameters;
  readonly model: ServedModel;
  readonly stops: readonly string[];
}

/** `choices` answers to each prompt, prompt by prompt; the same ones as if each prompt had come alone. */
function answerJobs(
  prompts: readonly Int32Array[],
  { request, sampling, model, stops }: JobOptions,
): TextRequest[] {
  return prompts.flatMap((prompt) =>
    Array.from({ length: request.choices }, (_, choice) => ({
      prompt,
      maxTokens: request.maxTokens ?? model.context - prompt.length,
      sampling: { ...sampling, choice },
      stopStrings: [...request.stopStrings, ...stops],
      stopTokens: request.stopTokens,
      ignoreEnd: request.ignoreEnd,
      adapter: model.adapter?.digest,
    })),
  );
}
