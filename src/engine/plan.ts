/** One step as it is planned: a map from sequences to tokens fed, in arrays that are made once. */

import { assert, at } from "../base/mod.ts";
import type { StepBlock } from "../kernels/mod.ts";
import type { Sequence } from "./sequence.ts";

export class Plan {
  readonly #sequences: (Sequence | undefined)[];
  readonly #counts: Int32Array;
  /** 1 where all tokens there are will have been fed. */
  readonly #completes: Uint8Array;
  /** Sequences in the step. */
  length = 0;
  /** Token rows of the step. */
  rows = 0;
  /** Sequences that decode. */
  decoding = 0;

  constructor(batch: number) {
    this.#sequences = new Array(batch).fill(undefined);
    this.#counts = new Int32Array(batch);
    this.#completes = new Uint8Array(batch);
  }

  /** Prompt tokens in the step. */
  get promptTokens(): number {
    return this.rows - this.decoding;
  }

  clear(): void {
    // Sequences that have ended are not kept from being collected.
    this.#sequences.fill(undefined, 0, this.length);
    this.length = 0;
    this.rows = 0;
    this.decoding = 0;
  }

  add(sequence: Sequence, count: number): void {
    this.#sequences[this.length] = sequence;
    this.#completes[this.length] = count === sequence.pending ? 1 : 0;
    this.#counts[this.length++] = count;
    this.rows += count;
    if (sequence.pending === 1) this.decoding++;
  }

  sequence(index: number): Sequence {
    const sequence = this.#sequences[index];
    assert(sequence !== undefined, "The plan has a sequence here.");
    return sequence;
  }

  /** Tokens it is fed. */
  count(index: number): number {
    return at(this.#counts, index);
  }

  /** Whether a token is drawn for it. What was planned stands, though the sequence may be gone when the step is done. */
  completes(index: number): boolean {
    return at(this.#completes, index) === 1;
  }
}

/** Describes the plan to the device; the number of rows whose logits are wanted. */
export function fillStep(step: StepBlock, plan: Plan): number {
  let row = 0;
  let output = 0;
  let page = 0;
  for (let index = 0; index < plan.length; index++) {
    const sequence = plan.sequence(index);
    const count = plan.count(index);
    for (let i = 0; i < count; i++, row++) {
      const position = sequence.cached + i;
      step.tokens[row] = at(sequence.tokens, position);
      step.positions[row] = position;
      step.pageStart[row] = page;
      step.adapters[row] = sequence.adapter;
    }
    for (let i = 0; i < sequence.pageCount; i++) step.pages[page++] = at(sequence.pages, i);
    if (plan.completes(index)) step.outputs[output++] = row - 1;
  }
  return output;
}
