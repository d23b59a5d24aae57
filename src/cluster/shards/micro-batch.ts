/** Cuts a step into runs of rows that follow each other through the stages, so that all stages have work. */

import { at } from "../../base/mod.ts";
import type { StepBlock } from "../../kernels/mod.ts";
import { MICRO_BATCHES_PER_STAGE } from "./limits.ts";
import type { StepSize } from "./step-message.ts";

export interface MicroBatch {
  /** Its rows as a step of their own. */
  readonly step: StepBlock;
  readonly size: StepSize;
  /** Of the whole step. */
  readonly firstRow: number;
  /** Which of the whole step's outputs are its, in order. */
  readonly outputs: readonly number[];
}

/**
 * Some micro-batches for each stage, each of `rows` rows at least. A sequence's rows stay in order, and every stage
 * takes micro-batches in order, so that each row finds the keys and values of those before it.
 */
export function microBatches(
  step: StepBlock,
  size: StepSize,
  { stages, rows: least }: { readonly stages: number; readonly rows: number },
): MicroBatch[] {
  const most = stages === 1 ? 1 : stages * MICRO_BATCHES_PER_STAGE;
  const count = Math.max(1, Math.min(most, Math.floor(size.rows / least)));
  const outputRows = [...step.outputs.subarray(0, size.outputs)];
  return Array.from({ length: count }, (_, index) => {
    const first = Math.floor((size.rows * index) / count);
    const end = Math.floor((size.rows * (index + 1)) / count);
    const outputs = outputRows.flatMap((row, output) => (row >= first && row < end ? [output] : []));
    return {
      step: {
        ...step,
        tokens: step.tokens.subarray(first, end),
        positions: step.positions.subarray(first, end),
        pageStart: step.pageStart.subarray(first, end),
        outputs: Int32Array.from(outputs, (output) => at(outputRows, output) - first),
      },
      size: { ...size, rows: end - first, outputs: outputs.length },
      firstRow: first,
      outputs,
    };
  });
}
