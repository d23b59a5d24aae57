/** Steps of sequences whose tokens mean nothing, each with a page table of its own. */

import { ClawError } from "../base/mod.ts";
import type { Executable } from "../kernels/mod.ts";

export interface SequenceShape {
  /** Entries of a sequence's page table. */
  readonly pages: number;
  readonly vocabulary: number;
}

/** Which part of the sequences a step decodes. */
export interface DecodePlace {
  readonly first: number;
  readonly count: number;
  readonly position: number;
}

export function tokenAt(sequence: number, position: number, vocabulary: number): number {
  return (sequence * 31 + position * 7) % vocabulary;
}

/** Gives every page-table entry a page of its own. */
export function fillPages({ step }: Executable): void {
  for (let index = 0; index < step.pages.length; index++) step.pages[index] = index;
}

/** One step that feeds a token to each of some sequences and computes their logits. */
export async function decodeStep(
  executable: Executable,
  { first, count, position }: DecodePlace,
  { pages, vocabulary }: SequenceShape,
): Promise<void> {
  const { step } = executable;
  for (let row = 0; row < count; row++) {
    step.tokens[row] = tokenAt(first + row, position, vocabulary);
    step.positions[row] = position;
    step.pageStart[row] = (first + row) * pages;
    step.outputs[row] = row;
  }
  await executable.execute(count, count);
  checkRows(executable, count);
}

/** One step that feeds the first `count` tokens of a sequence, without logits. */
export async function promptStep(
  executable: Executable,
  { sequence, count }: { readonly sequence: number; readonly count: number },
  { pages, vocabulary }: SequenceShape,
): Promise<void> {
  const { step } = executable;
  for (let row = 0; row < count; row++) {
    step.tokens[row] = tokenAt(sequence, row, vocabulary);
    step.positions[row] = row;
    step.pageStart[row] = sequence * pages;
  }
  await executable.execute(count, 0);
  checkRows(executable, count);
}

export function checkRows({ step }: Executable, rows: number): void {
  if (step.status.subarray(0, rows).every((flags) => flags === 0)) return;
  throw new ClawError("E_NUMERIC", "The measured model computes values that are not finite.");
}
