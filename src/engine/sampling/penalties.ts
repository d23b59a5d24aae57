/** Adjustments of logits before the draw, each rounded to f32 (docs/reference/sampling.md, "Penalties and bias"). */

import type { History } from "./history.ts";
import type { SamplingParameters } from "./parameters.ts";

/** Divides positive, multiplies other logits of every token in the window. */
export function applyRepetition(
  logits: Float32Array,
  history: History,
  parameters: SamplingParameters,
): void {
  const { repetitionPenalty, repetitionWindow } = parameters;
  if (repetitionPenalty === 1) return;
  const penalty = Math.fround(repetitionPenalty);
  const first = repetitionWindow === 0 ? 0 : Math.max(0, history.length - repetitionWindow);
  for (const token of new Set(history.tokens.subarray(first, history.length))) {
    const logit = logits[token] as number;
    logits[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

/** Subtracts what OpenAI's API defines, counting generated tokens only. */
export function applyFrequencyAndPresence(
  logits: Float32Array,
  history: History,
  parameters: SamplingParameters,
): void {
  if (parameters.frequencyPenalty === 0 && parameters.presencePenalty === 0) return;
  const frequency = Math.fround(parameters.frequencyPenalty);
  const presence = Math.fround(parameters.presencePenalty);
  const counts = new Map<number, number>();
  for (const token of history.tokens.subarray(history.promptLength, history.length)) {
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  for (const [token, count] of counts) {
    const penalty = Math.fround(Math.fround(count * frequency) + presence);
    logits[token] = (logits[token] as number) - penalty;
  }
}

/** Adds the request's bias. */
export function applyBias(logits: Float32Array, parameters: SamplingParameters): void {
  for (const [token, bias] of parameters.logitBias) {
    logits[token] = (logits[token] as number) + Math.fround(bias);
  }
}
