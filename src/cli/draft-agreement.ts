/** What `claw train eval` says of a draft: how often it says what the model says. */

import { isDeepStrictEqual } from "node:util";
import { loadModel } from "../app.ts";
import { ClawError } from "../base/mod.ts";
import { type Agreement, continuations, measureAgreement, type Passage } from "../bench/mod.ts";
import { defaultsOf, engineOptions } from "../config/mod.ts";
import { type Model, openModel } from "../model/mod.ts";
import { windowsOf } from "./documents.ts";
import { type ScoringOptions, withScoring } from "./scoring.ts";
import { progressLine } from "./terminal.ts";

/** Of the continuations that are drawn, not greedy. */
const TEMPERATURE = 0.8;
const SEED = 1;
/** Continuations that the engine draws together. */
const BATCH = 16;

export interface DraftReport {
  /** On the text, every token given those before it. */
  readonly text: Agreement;
  /** On the model's own continuations of passages of the text. */
  readonly greedy: Agreement;
  readonly sampled: Agreement & { readonly temperature: number };
}

export interface DraftOptions {
  readonly model: string;
  readonly draft: string;
  /** As tokens, each begun with the token that begins a sequence. */
  readonly texts: readonly Int32Array[];
  /** Tokens of each kind of continuation. */
  readonly positions: number;
}

/** Errors: E_TOKENIZER for a draft with other tokens; those of loading models and of the engine. */
export async function measureDraft(
  { model, draft, texts, positions }: DraftOptions,
  settings: ScoringOptions,
): Promise<DraftReport> {
  const [first, second] = [openModel(model), openModel(draft)];
  requireSameTokens(first, second, draft);
  return withScoring(first, settings, (runtime, window) =>
    withScoring(second, { ...settings, window }, async (own) => {
      const pair = { model: runtime, draft: own };
      const measured = (name: string, passages: readonly Passage[]): Promise<Agreement> =>
        measureAgreement(pair, passages, progressLine(`Comparing on ${name}:`));
      const windows = [...windowsOf(texts, window)].map((tokens) => ({ tokens, from: 0 }));
      const text = await measured("the text", windows);
      const engine = { ...defaultsOf(engineOptions), ...settings, context: window, maxBatch: BATCH };
      const loaded = await loadModel(model, engine);
      try {
        const drawn = (temperature: number): Promise<Passage[]> =>
          continuations(loaded.engine, { texts, positions, context: window, temperature, seed: SEED });
        const greedy = await measured("greedy continuations", await drawn(0));
        const sampled = await measured("drawn continuations", await drawn(TEMPERATURE));
        return { text, greedy, sampled: { ...sampled, temperature: TEMPERATURE } };
      } finally {
        await loaded.engine.close();
      }
    }),
  );
}

function requireSameTokens(model: Model, draft: Model, path: string): void {
  const [tokens, own] = [model, draft].map(({ gguf }) =>
    gguf.metadata.optionalStrings("tokenizer.ggml.tokens"),
  );
  if (isDeepStrictEqual(tokens, own)) return;
  model.close();
  draft.close();
  throw new ClawError("E_TOKENIZER", `${path} has other tokens than the model it is compared with.`);
}

export function draftLines(name: string, { text, greedy, sampled }: DraftReport): string[] {
  const percent = (share: number | null): string => `${(100 * (share ?? 0)).toFixed(1)} %`;
  return [
    `${name} has the same most likely token at ${percent(text.likeliest)} of ${text.positions} places of the text,`,
    `at ${percent(greedy.likeliest)} of ${greedy.positions} places of greedy continuations,`,
    `and at ${percent(sampled.likeliest)} of ${sampled.positions} places of continuations at temperature ${sampled.temperature},`,
    `where it draws the same token with the same seed at ${percent(sampled.drawn)}.`,
  ];
}
