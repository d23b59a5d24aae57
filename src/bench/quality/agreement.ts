/**
 * How often a draft says what the model it stands in for says: on a given text, and on what speculation meets, which is the
 * model's own continuations.
 */

import { at } from "../../base/mod.ts";
import {
  argmax,
  defaultSampling,
  type Runtime,
  Sampler,
  type SamplingParameters,
  scoreTokens,
  type TokenGenerator,
} from "../../engine/mod.ts";
import { Generator } from "../../model/mod.ts";
import { CONTINUATION_TOKENS, PROMPT_TOKENS } from "./limits.ts";

/** Tokens of which those after `from` are predicted, each from all before it. */
export interface Passage {
  readonly tokens: Int32Array;
  readonly from: number;
  /** How the predicted tokens were drawn; a text has none. */
  readonly sampling?: SamplingParameters;
}

export interface Agreement {
  /** Tokens predicted. */
  readonly positions: number;
  /** The share of them for which both models' most likely token is the same. */
  readonly likeliest: number;
  /** The share that the draft draws itself, given the same seed; null for a text. */
  readonly drawn: number | null;
}

export interface Pair {
  readonly model: Runtime;
  readonly draft: Runtime;
}

/** Errors: E_CONTEXT for a passage longer than a context, E_NUMERIC. */
export async function measureAgreement(
  { model, draft }: Pair,
  passages: readonly Passage[],
  onProgress: (fraction: number) => void,
): Promise<Agreement> {
  let [positions, likeliest, drawn, done] = [0, 0, 0, 0];
  const sampler = new Sampler(vocabularyOf(draft));
  for (const { tokens, from, sampling } of passages) {
    const wanted = new Int32Array(tokens.length);
    // Nothing follows the last token.
    const given = tokens.subarray(0, -1);
    await scoreTokens(model, given, {
      from,
      visit: (position, logits) => {
        wanted[position] = argmax(logits);
      },
    });
    await scoreTokens(draft, given, {
      from,
      visit: (position, logits) => {
        positions++;
        likeliest += argmax(logits) === wanted[position] ? 1 : 0;
        if (sampling === undefined) return;
        const history = { tokens, length: position + 1, promptLength: from + 1 };
        drawn += sampler.draw(logits, history, sampling).token === at(tokens, position + 1) ? 1 : 0;
      },
    });
    onProgress(++done / passages.length);
  }
  const sampled = passages.some(({ sampling }) => sampling !== undefined);
  const share = (count: number): number => count / Math.max(1, positions);
  return { positions, likeliest: share(likeliest), drawn: sampled ? share(drawn) : null };
}

function vocabularyOf({ executable }: Runtime): number {
  return executable.step.logits.length / executable.step.outputs.length;
}

export interface ContinuationOptions {
  /** Texts as tokens, each begun as a sequence of the model begins. */
  readonly texts: readonly Int32Array[];
  /** Tokens to have drawn, at least. */
  readonly positions: number;
  /** Prompt and continuation together, at most. */
  readonly context: number;
  readonly temperature: number;
  readonly seed: number;
}

/** What a model makes of beginnings taken from anywhere in some texts. Errors: those of the engine. */
export async function continuations(
  engine: TokenGenerator,
  { texts, positions, context, temperature, seed }: ContinuationOptions,
): Promise<Passage[]> {
  const promptMax = Math.min(PROMPT_TOKENS, context >> 1);
  const maxTokens = Math.min(CONTINUATION_TOKENS, context - promptMax);
  const generator = new Generator(seed, 0);
  const passages: Passage[] = [];
  const continued = async (prompt: Int32Array, choice: number): Promise<number> => {
    const sampling = { ...defaultSampling, temperature, seed: seed + choice };
    const drawn: number[] = [];
    for await (const { token } of engine.generate({ prompt, maxTokens, sampling, stopTokens: [] }))
      drawn.push(token);
    passages[choice] = { tokens: Int32Array.of(...prompt, ...drawn), from: prompt.length - 1, sampling };
    return drawn.length;
  };
  for (let had = 0; had < positions; ) {
    const first = passages.length;
    const prompts = Array.from({ length: Math.ceil((positions - had) / maxTokens) }, () =>
      beginning(texts, promptMax, generator),
    );
    const lengths = await Promise.all(prompts.map((prompt, i) => continued(prompt, first + i)));
    had = lengths.reduce((sum, length) => sum + length, had);
  }
  return passages;
}

/** The token that begins a text, and then some of the text from anywhere in it. */
function beginning(texts: readonly Int32Array[], length: number, generator: Generator): Int32Array {
  const text = at(texts, generator.below(texts.length));
  const start = 1 + generator.below(Math.max(1, text.length - length));
  return Int32Array.of(at(text, 0), ...text.subarray(start, start + length - 1));
}
