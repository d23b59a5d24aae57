/**
 * Perplexity of a text under a model, by the definition of llama.cpp's `llama-perplexity`: the text's tokens are cut
 * into windows that share nothing, and of each window the second half is scored.
 */

import { assert, at, ClawError, exactExp } from "../base/mod.ts";
import type { Runtime } from "./runtime.ts";
import { LogSumExp } from "./sampling/mod.ts";
import { scoreTokens } from "./score.ts";

export interface PerplexityOptions {
  /** Tokens in a window; at least 4, and at most the runtime's context. */
  readonly window: number;
  /** Replaces the first token of every window, for models that want one there. */
  readonly bos: number | undefined;
  /** As in `scoreTokens`. */
  readonly adapter?: number | undefined;
  /** Called with every scored row of logits, which the next step overwrites. */
  readonly onRow?: (logits: Float32Array) => void;
  /** Called after each window with the fraction done. */
  readonly onProgress?: (fraction: number) => void;
}

export interface Perplexity {
  /** e^(nll / count) */
  readonly perplexity: number;
  /** Sum of the negative natural-log probabilities of the scored tokens. */
  readonly nll: number;
  /** Tokens scored. */
  readonly count: number;
  readonly windows: number;
}

/** Of a window, logits at positions floor(window / 2) to window - 2 are scored against the token that follows. */
export async function measurePerplexity(
  runtime: Runtime,
  tokens: Int32Array,
  { window, bos, adapter, onRow, onProgress }: PerplexityOptions,
): Promise<Perplexity> {
  assert(window >= 4, "A window has a half to score.");
  const windows = Math.floor(tokens.length / window);
  if (windows === 0) {
    throw new ClawError("E_USAGE", `The text has ${tokens.length} tokens; one window needs ${window}.`);
  }
  const from = Math.floor(window / 2);
  const { logits: all, outputs } = runtime.executable.step;
  const normalizer = new LogSumExp(all.length / outputs.length);
  let nll = 0;
  let count = 0;
  for (let index = 0; index < windows; index++) {
    const part = tokens.slice(index * window, (index + 1) * window);
    if (bos !== undefined) part[0] = bos;
    const visit = (position: number, logits: Float32Array): void => {
      nll += normalizer.of(logits) - at(logits, at(part, position + 1));
      count++;
      onRow?.(logits);
    };
    // Nothing follows the last token, so its logits are not asked for.
    await scoreTokens(runtime, part.subarray(0, window - 1), { from, visit, adapter });
    onProgress?.((index + 1) / windows);
  }
  return { perplexity: exactExp(nll / count), nll, count, windows };
}
