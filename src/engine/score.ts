/** Logits at every position of a token sequence: for perplexity, comparisons with other engines, and tests. */

import { at, ClawError } from "../base/mod.ts";
import { KV_PAGE_TOKENS } from "../kernels/mod.ts";
import { joinedStatus, statusError } from "./row-status.ts";
import type { Runtime } from "./runtime.ts";

/** Called with the position a row of logits follows; the row is overwritten by the next step. */
export type LogitsVisitor = (position: number, logits: Float32Array) => void;

interface ScoreOptions {
  readonly from: number;
  readonly visit: LogitsVisitor;
  /** Its place among the runtime's, counted from 1; 0 or undefined: none. */
  readonly adapter?: number | undefined;
}

/**
 * Feeds `tokens` from position 0 in chunks and visits the logits after each position from `from` on. Uses the whole KV
 * cache of the runtime, one sequence at a time.
 */
export async function scoreTokens(
  runtime: Runtime,
  tokens: Int32Array,
  { from, visit, adapter = 0 }: ScoreOptions,
): Promise<void> {
  const { step } = runtime.executable;
  const neededPages = Math.ceil(tokens.length / KV_PAGE_TOKENS);
  if (tokens.length > runtime.context || neededPages > runtime.pages) {
    throw new ClawError("E_CONTEXT", `${tokens.length} tokens do not fit the context of ${runtime.context}.`);
  }
  for (let page = 0; page < neededPages; page++) step.pages[page] = page;
  const vocabulary = step.logits.length / step.outputs.length;
  for (let first = 0; first < tokens.length; ) {
    const rows = Math.min(tokens.length - first, chunkRows(first, from, runtime));
    const outputs = fillRows(runtime, tokens.subarray(first, first + rows), { first, from, adapter });
    await runtime.executable.execute(rows, outputs);
    const status = joinedStatus(step.status, 0, rows);
    if (status !== 0) throw statusError(status);
    for (let output = 0; output < outputs; output++) {
      const position = first + at(step.outputs, output);
      visit(position, step.logits.subarray(output * vocabulary, (output + 1) * vocabulary));
    }
    first += rows;
  }
}

/** Rows of the next chunk: all a step takes before scored positions, as many as have outputs from there on. */
function chunkRows(first: number, from: number, { executable }: Runtime): number {
  const { tokens, outputs } = executable.step;
  return first >= from ? Math.min(tokens.length, outputs.length) : Math.min(tokens.length, from - first);
}

function fillRows(
  { executable }: Runtime,
  tokens: Int32Array,
  { first, from, adapter }: { readonly first: number; readonly from: number; readonly adapter: number },
): number {
  const { step } = executable;
  let outputs = 0;
  for (let row = 0; row < tokens.length; row++) {
    step.tokens[row] = at(tokens, row);
    step.positions[row] = first + row;
    step.pageStart[row] = 0;
    step.adapters[row] = adapter;
    if (first + row >= from) step.outputs[outputs++] = row;
  }
  return outputs;
}
