/** What a request may ask for, whatever runs beside it. */

import { ClawError } from "../base/mod.ts";
import type { GenerationRequest } from "./request.ts";
import { checkSampling, checkStopTokens } from "./sampling/mod.ts";

interface RequestBounds {
  readonly vocabulary: number;
  readonly context: number;
  readonly adapters?: readonly string[] | undefined;
}

/** Refuses what can never run: E_CONTEXT, E_PARAMETER. */
export function checkRequest(
  request: GenerationRequest,
  { vocabulary, context, adapters = [] }: RequestBounds,
): void {
  const { prompt, maxTokens, sampling, stopTokens, drawn, adapter } = request;
  checkSampling(sampling, vocabulary);
  checkStopTokens(stopTokens, vocabulary);
  if (!Number.isInteger(maxTokens) || maxTokens < 1) {
    refuse("max_tokens", `max_tokens is ${maxTokens}; at least 1 was expected.`);
  }
  if (adapter !== undefined && !adapters.includes(adapter)) {
    refuse("model", `There is no adapter ${adapter} here.`);
  }
  if (prompt.length === 0) refuse("prompt", "The prompt has no tokens.");
  if (prompt.length + maxTokens > context) {
    const asked = `${prompt.length} prompt tokens and ${maxTokens} more`;
    throw new ClawError("E_CONTEXT", `The request has ${asked}; the context holds ${context}.`);
  }
  const outside = (token: number): boolean => token < 0 || token >= vocabulary;
  if (prompt.some(outside)) refuse("prompt", "The prompt holds a token id outside the vocabulary.");
  if (drawn !== undefined && (drawn.length >= maxTokens || drawn.some(outside))) {
    refuse(
      "max_tokens",
      "The answer so far is as long as it may be, or holds a token outside the vocabulary.",
    );
  }
  checkService(request);
}

/** Priority and deadline. */
function checkService({ priority, deadlineMs }: GenerationRequest): void {
  if (priority !== undefined && !Number.isSafeInteger(priority)) {
    refuse("priority", `priority is ${priority}; a whole number was expected.`);
  }
  if (deadlineMs !== undefined && !(deadlineMs > 0)) {
    refuse("deadline_ms", `deadline_ms is ${deadlineMs}; a number above 0 was expected.`);
  }
}

function refuse(param: string, message: string): never {
  throw new ClawError("E_PARAMETER", message, { param });
}
