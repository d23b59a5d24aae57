/** What a request may say about sampling. Defaults leave the model's own distribution untouched. */

import { ClawError } from "../../base/mod.ts";
import { END_TOKENS_MAX, LOGIT_BIAS_MAX, STOP_TOKENS_MAX, TOP_LOGPROBS_MAX } from "../limits.ts";

export interface SamplingParameters {
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** Keep this many of the likeliest tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the likeliest tokens that together reach this probability; 1 keeps all. */
  readonly topP: number;
  /** Keep tokens at least this fraction as likely as the likeliest; 0 keeps all. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens in the window; 1 is none. */
  readonly repetitionPenalty: number;
  /** How many last tokens, of prompt and answer, the repetition penalty looks at; 0 is all. */
  readonly repetitionWindow: number;
  /** Subtracted from the logit of each generated token, times how often it was. */
  readonly frequencyPenalty: number;
  /** Subtracted from the logit of each token generated at least once. */
  readonly presencePenalty: number;
  /** Added to logits, by token id. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** 0 to 2^53 - 1; with the choice index and the position it is all the randomness there is. */
  readonly seed: number;
  /** Which of several answers to one prompt this is. */
  readonly choice: number;
  /** Alternatives to report beside each token's log-probability; undefined reports neither. */
  readonly logprobs: number | undefined;
}

export const defaultSampling: SamplingParameters = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  repetitionWindow: 64,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
  seed: 0,
  choice: 0,
  logprobs: undefined,
};

/** Refuses parameters out of range; E_PARAMETER with the parameter's name in the API's spelling. */
export function checkSampling(parameters: SamplingParameters, vocabulary: number): void {
  const p = parameters;
  range("temperature", p.temperature, [0, 100]);
  range("top_k", p.topK, [0, Number.MAX_SAFE_INTEGER], true);
  range("top_p", p.topP, [0, 1]);
  range("min_p", p.minP, [0, 1]);
  range("repetition_penalty", p.repetitionPenalty, [0.01, 100]);
  range("repetition_window", p.repetitionWindow, [0, Number.MAX_SAFE_INTEGER], true);
  range("frequency_penalty", p.frequencyPenalty, [-2, 2]);
  range("presence_penalty", p.presencePenalty, [-2, 2]);
  range("seed", p.seed, [0, Number.MAX_SAFE_INTEGER], true);
  range("n", p.choice, [0, 0xffff], true);
  if (p.logprobs !== undefined) range("top_logprobs", p.logprobs, [0, TOP_LOGPROBS_MAX], true);
  if (p.logitBias.length > LOGIT_BIAS_MAX) {
    refuse("logit_bias", `${p.logitBias.length} entries; at most ${LOGIT_BIAS_MAX} are allowed`);
  }
  for (const [token, bias] of p.logitBias) {
    range("logit_bias", token, [0, vocabulary - 1], true);
    range("logit_bias", bias, [-100, 100]);
  }
}

/** Refuses stop tokens out of range; the model's own end tokens may be among them. */
export function checkStopTokens(tokens: readonly number[], vocabulary: number): void {
  const most = STOP_TOKENS_MAX + END_TOKENS_MAX;
  if (tokens.length > most) {
    refuse("stop_token_ids", `${tokens.length} entries; at most ${most} are allowed, end tokens included`);
  }
  for (const token of tokens) range("stop_token_ids", token, [0, vocabulary - 1], true);
}

function range(
  name: string,
  value: number,
  ...[[low, high], whole]: [readonly [number, number], boolean?]
): void {
  if (value >= low && value <= high && (!whole || Number.isInteger(value))) return;
  refuse(name, `${value}; ${whole ? "a whole number" : "a number"} from ${low} to ${high} was expected`);
}

function refuse(param: string, problem: string): never {
  throw new ClawError("E_PARAMETER", `The parameter ${param} is ${problem}.`, { param });
}
