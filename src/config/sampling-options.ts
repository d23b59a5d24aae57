/** How `run` and `chat` draw tokens. The defaults are those of the HTTP API. */

import { numberOption, type OptionTable } from "./option.ts";

export interface SamplingOptions {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed: number | undefined;
  readonly maxTokens: number | undefined;
}

export const samplingOptions: OptionTable<SamplingOptions> = {
  temperature: numberOption({
    flag: "temperature",
    meaning: "0 takes the likeliest token every time",
    range: [0, 100],
    whole: false,
    default: 1,
  }),
  topK: numberOption({
    flag: "top-k",
    meaning: "keep this many of the likeliest tokens; 0 keeps all",
    range: [0, Number.MAX_SAFE_INTEGER],
    default: 0,
  }),
  topP: numberOption({
    flag: "top-p",
    meaning: "keep the likeliest tokens that together reach this probability",
    range: [0, 1],
    whole: false,
    default: 1,
  }),
  minP: numberOption({
    flag: "min-p",
    meaning: "keep tokens at least this fraction as likely as the likeliest",
    range: [0, 1],
    whole: false,
    default: 0,
  }),
  repetitionPenalty: numberOption({
    flag: "repetition-penalty",
    meaning: "above 1 makes recent tokens less likely",
    range: [0.01, 100],
    whole: false,
    default: 1,
  }),
  seed: numberOption({
    flag: "seed",
    meaning: "the same seed gives the same answer",
    range: [0, Number.MAX_SAFE_INTEGER],
    default: undefined,
    otherwise: "random",
  }),
  maxTokens: numberOption({
    flag: "max-tokens",
    meaning: "most tokens of an answer",
    range: [1, Number.MAX_SAFE_INTEGER],
    default: undefined,
    otherwise: "what the context holds",
  }),
};
