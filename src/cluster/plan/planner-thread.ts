/** I/O: a thread beside this one that plans. */

import { Worker } from "node:worker_threads";
import { asClawError } from "../../base/mod.ts";
import type { Plan } from "./plan.ts";
import type { Planned, PlanTask } from "./planner.ts";

export interface PlanQuestion {
  readonly id: number;
  readonly task: PlanTask;
  readonly inForce: Plan | undefined;
}

/** `planned`: a plan and what it comes to; `problem`: why there is none. */
export type PlanAnswer = { readonly id: number } & (
  | { readonly planned: Pick<Planned, "plan" | "prediction"> }
  | { readonly problem: string }
);

export class PlannerThread {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url));
  readonly #waiting = new Map<number, (answer: PlanAnswer) => void>();
  #asked = 0;

  constructor() {
    this.#worker.on("message", (answer: PlanAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#worker.on("error", (error) => {
      for (const [id, settle] of this.#waiting) settle({ id, problem: asClawError(error).message });
      this.#waiting.clear();
    });
    // It has nothing to say that anybody must wait for.
    this.#worker.unref();
  }

  /** As `keepOrPlan`; problems are told, not thrown. */
  plan(task: PlanTask, inForce: Plan | undefined): Promise<PlanAnswer> {
    const id = this.#asked++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      const question: PlanQuestion = { id, task, inForce };
      this.#worker.postMessage(question);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
