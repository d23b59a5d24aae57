/** A load as data: prompts, lengths of answers, and times of arrival, all from a seed. */

import { Generator } from "../../model/mod.ts";
import { LENGTH_SPREAD, TOKEN_COUNT, TOKEN_FIRST } from "./limits.ts";

export interface PlannedRequest {
  /** Token ids. */
  readonly prompt: readonly number[];
  /** Tokens to draw; end tokens do not end the answer. */
  readonly outputTokens: number;
  /** When it is sent, in seconds from the beginning; 0 for those that wait for a place in flight. */
  readonly arrivalSeconds: number;
}

export interface WorkloadOptions {
  readonly requests: number;
  readonly seed: number;
  /** Mean lengths; they are spread evenly around it. */
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Requests per second, as a Poisson process; undefined: as places become free. */
  readonly rate: number | undefined;
}

/** Keeps these requests apart from everything else that is drawn from the same seed. */
const WORKLOAD_STREAM = 1 << 20;

export function planWorkload(options: WorkloadOptions): PlannedRequest[] {
  const { requests, seed, promptTokens, outputTokens, rate } = options;
  const generator = new Generator(seed, WORKLOAD_STREAM);
  let arrivalSeconds = 0;
  return Array.from({ length: requests }, () => {
    if (rate !== undefined) arrivalSeconds -= Math.log(1 - generator.uniform()) / rate;
    const prompt = randomPrompt(generator, drawLength(generator, promptTokens));
    return { prompt, outputTokens: drawLength(generator, outputTokens), arrivalSeconds };
  });
}

/** Longest prompt and answer that a mean allows. */
export function longest(meanTokens: number): number {
  return Math.max(1, Math.round(meanTokens * (1 + LENGTH_SPREAD)));
}

export function randomPrompt(generator: Generator, tokens: number): number[] {
  return Array.from({ length: tokens }, () => TOKEN_FIRST + generator.below(TOKEN_COUNT));
}

function drawLength(generator: Generator, mean: number): number {
  const [least, most] = [Math.max(1, Math.round(mean * (1 - LENGTH_SPREAD))), longest(mean)];
  return least + generator.below(most - least + 1);
}
