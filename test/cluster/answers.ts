/** What a runtime answers: tokens with their log-probabilities for a mix of requests, and logits of a sequence, as bits. */

import { expect } from "vitest";
import {
  defaultSampling,
  Engine,
  type GenerationRequest,
  type Runtime,
  scoreTokens,
  type TokenEvent,
} from "../../src/engine/mod.ts";
import type { Random } from "../kernels/random.ts";

export const CONTEXT = 80;
export const BATCH = 4;
export const ROWS = 12;

export interface Questions {
  readonly requests: readonly GenerationRequest[];
  /** Whose logits are looked at after each token. */
  readonly scored: Int32Array;
}

export interface Answers {
  readonly events: readonly (readonly TokenEvent[])[];
  readonly logits: readonly string[];
}

export function randomQuestions(vocabulary: number, random: Random): Questions {
  const tokens = (length: number): Int32Array =>
    Int32Array.from({ length }, () => random.between(0, vocabulary - 1));
  const prefix = tokens(40);
  const requests = Array.from({ length: random.between(2, 5) }, (): GenerationRequest => {
    // Some begin alike and find each other's pages.
    const prompt = random.chance(2) ? tokens(random.between(1, 20)) : prefix.slice(0, random.between(33, 40));
    const sampling = {
      ...defaultSampling,
      temperature: random.pick([0, 0.7, 1.2]),
      seed: random.between(0, 1000),
      logprobs: 2,
    };
    return { prompt, maxTokens: random.between(1, 6), sampling, stopTokens: [] };
  });
  return { requests, scored: tokens(random.between(5, 50)) };
}

export async function answersOf(
  runtime: Runtime & { readonly swapBytes?: number },
  vocabulary: number,
  { requests, scored }: Questions,
): Promise<Answers> {
  const engine = new Engine({ ...runtime, vocabulary, batch: BATCH, clock: () => 0 });
  const events = requests.map((request) => {
    const list: TokenEvent[] = [];
    engine.submit(request, {
      token: (event) => list.push(event),
      failed: (error) => expect.fail(`${error.code}: ${error.message}`),
    });
    return list;
  });
  while (await engine.step());
  const logits: string[] = [];
  const visit = (_: number, row: Float32Array): void => {
    logits.push(Buffer.from(row.slice().buffer).toString("base64"));
  };
  await scoreTokens(runtime, scored, { from: 0, visit });
  return { events, logits };
}
