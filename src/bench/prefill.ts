/** Prefill: reading one prompt, in steps of as many rows as are best. */

import { assert } from "../base/mod.ts";
import { measurePeaks } from "../kernels/mod.ts";
import { timed } from "./clock.ts";
import { promptAttention } from "./companions.ts";
import { PREFILL_ROWS } from "./limits.ts";
import { LocalModel } from "./local.ts";
import type { BenchOptions, Outcome } from "./report.ts";
import { medians } from "./rounds.ts";
import { computeShare } from "./share.ts";
import { versus } from "./versus.ts";
import { modelWork } from "./work.ts";

export interface PrefillTask {
  readonly path: string;
  /** Tokens of the prompt. */
  readonly tokens: number;
}

export async function measurePrefill(options: BenchOptions, { path, tokens }: PrefillTask): Promise<Outcome> {
  const { format, rounds, threads } = options;
  const budgets = rowBudgets(tokens);
  const onProgress = options.onProgress("Loading the model:");
  const size = { sequences: 1, context: tokens, rows: Math.max(...budgets) };
  const local = await LocalModel.open({ path, format, threads, onProgress, ...size });
  const peaks = measurePeaks(local.device.threads);
  const peerTask = { model: path, threads: local.device.threads, sequences: 1, steps: 0, filled: tokens };
  const round = async (): Promise<Record<string, number>> => {
    const times: Record<string, number> = {};
    for (const rows of budgets) times[`rows${rows}`] = await timed(() => local.prefill(tokens, rows));
    return times;
  };
  const { ours, peer } = await versus(round, options.peer ? { ...peerTask, task: "prefill" } : undefined, {
    rounds,
    tokens,
  });
  const { rows, seconds } = fastest(budgets, medians(ours));
  const { rowMacs, outputMacs } = modelWork(local.file.description, format);
  const attention = await promptAttention(local, { tokens, rows, peaks });
  const outcome: Outcome = {
    device: local.device.name,
    threads: local.device.threads,
    peaks,
    unit: "tokens/s",
    ours: tokens / seconds,
    peer,
    roundSeconds: ours,
    details: {
      tokens,
      rows,
      medianSeconds: medians(ours),
      promptAttention: { ...attention, ofPrefill: attention.seconds / seconds },
      compute: computeShare(tokens * rowMacs + outputMacs, seconds, { peaks, format }),
    },
  };
  local.close();
  return outcome;
}

/** Rows of a step to try: none that only differ beyond the prompt's end. */
function rowBudgets(tokens: number): number[] {
  const useful = PREFILL_ROWS.filter((rows) => rows < tokens);
  const whole = PREFILL_ROWS.find((rows) => rows >= tokens);
  return whole === undefined ? useful : [...useful, whole];
}

function fastest(
  budgets: readonly number[],
  times: Readonly<Record<string, number>>,
): { readonly rows: number; readonly seconds: number } {
  const found = budgets.map((rows) => ({ rows, seconds: times[`rows${rows}`] ?? Number.POSITIVE_INFINITY }));
  const best = found.sort((a, b) => a.seconds - b.seconds)[0];
  assert(best !== undefined, "A prompt is read in some number of rows.");
  return best;
}
