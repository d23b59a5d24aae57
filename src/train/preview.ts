/** What the model writes so far. */

import { at, exactExp } from "../base/mod.ts";
import { Generator } from "../model/mod.ts";

export interface PreviewOptions {
  readonly prompt: Int32Array;
  readonly tokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** The token after which nothing follows. */
  readonly end: number | undefined;
  readonly context: number;
  /** The logits after some tokens. */
  logits(tokens: Int32Array): Promise<Float32Array>;
}

/** The prompt and what the model makes of it, drawn from the seed. */
export async function preview(options: PreviewOptions): Promise<Int32Array> {
  const { prompt, temperature, end, context } = options;
  const generator = new Generator(options.seed, 0);
  const tokens = [...prompt];
  for (let i = 0; i < options.tokens; i++) {
    const logits = await options.logits(Int32Array.from(tokens.slice(-context)));
    const next = temperature === 0 ? likeliest(logits) : draw(logits, temperature, generator.uniform());
    if (next === end) break;
    tokens.push(next);
  }
  return Int32Array.from(tokens);
}

function likeliest(logits: Float32Array): number {
  return logits.reduce((best, value, i) => (value > at(logits, best) ? i : best), 0);
}

/** The token at `chance`, from 0 to 1, of the distribution. */
function draw(logits: Float32Array, temperature: number, chance: number): number {
  const largest = at(logits, likeliest(logits));
  const weights = Float64Array.from(logits, (value) => exactExp((value - largest) / temperature));
  let left = chance * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [token, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return token;
  }
  return likeliest(logits);
}
