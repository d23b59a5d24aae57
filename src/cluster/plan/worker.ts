/** I/O: a thread that plans, since planning for many nodes takes seconds in which a member has to answer. */

import { parentPort } from "node:worker_threads";
import { asClawError, assert } from "../../base/mod.ts";
import { keepOrPlan } from "./planner.ts";
import type { PlanAnswer, PlanQuestion } from "./planner-thread.ts";

assert(parentPort !== null, "The planner's thread is started as a worker.");
const port = parentPort;

function answer({ id, task, inForce }: PlanQuestion): PlanAnswer {
  try {
    return { id, planned: keepOrPlan(task, inForce) };
  } catch (error) {
    return { id, problem: asClawError(error).message };
  }
}

port.on("message", (question: PlanQuestion) => port.postMessage(answer(question)));
