/**
 * A step block, and the step that is under way on it. An executable of one stage has one; over several stages each may have a step
 * of its own, of other sequences.
 */

import { at, type ClawError } from "../base/mod.ts";
import type { Executable } from "../kernels/mod.ts";
import { fillStep, Plan } from "./plan.ts";
import type { Draw } from "./sampling/mod.ts";
import type { StepRecorder } from "./step-recorder.ts";

export class Lane {
  readonly executable: Executable;
  readonly plan: Plan;
  readonly recorder: StepRecorder;
  /** What was drawn in a step, by the plan's index: a token, an error, or nothing yet. */
  readonly drawn: (Draw | ClawError | undefined)[];
  /** Logits of each output, as views made once. */
  readonly logits: readonly Float32Array[];
  /** How often each sequence had lost its pages when the step was planned, by the plan's index. */
  readonly #preemptions: Int32Array;
  #done: Promise<void> = Promise.resolve();

  constructor(executable: Executable, vocabulary: number, recorder: StepRecorder) {
    const { outputs, logits } = executable.step;
    this.executable = executable;
    this.recorder = recorder;
    this.plan = new Plan(outputs.length);
    this.drawn = new Array(outputs.length).fill(undefined);
    this.#preemptions = new Int32Array(outputs.length);
    this.logits = Array.from({ length: outputs.length }, (_, i) =>
      logits.subarray(i * vocabulary, (i + 1) * vocabulary),
    );
  }

  /** Has the plan executed. */
  begin(): void {
    const { plan, executable } = this;
    for (let index = 0; index < plan.length; index++) {
      const sequence = plan.sequence(index);
      sequence.stepping = true;
      this.#preemptions[index] = sequence.preemptions;
    }
    this.#done = executable.execute(plan.rows, fillStep(executable.step, plan));
    // It may be awaited only after a step that began before it.
    this.#done.catch(() => {});
  }

  /** Waits for the step. When it failed nothing has moved on, but it is noted who was in it. */
  async end(): Promise<void> {
    const { plan } = this;
    try {
      await this.#done;
    } catch (error) {
      for (let index = 0; index < plan.length; index++) plan.sequence(index).failedSteps++;
      throw error;
    } finally {
      for (let index = 0; index < plan.length; index++) {
        if (this.stands(index)) plan.sequence(index).stepping = false;
      }
    }
  }

  /** Whether a sequence is where it was when the step began: one that gave its pages up meanwhile is computed again. */
  stands(index: number): boolean {
    return this.plan.sequence(index).preemptions === at(this.#preemptions, index);
  }
}
