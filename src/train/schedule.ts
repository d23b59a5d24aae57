/** How large each step's stride is. */

import { exactSineCosine } from "../base/mod.ts";
import type { ScheduleConfig } from "./config.ts";

/** Updates in a run. */
export function totalSteps({ tokens, batch }: ScheduleConfig, context: number): number {
  return Math.ceil(tokens / (batch * context));
}

/**
 * The rate of step `step`, from 0: a linear rise, then half a cosine (Loshchilov and Hutter, 2017), or a plateau and a linear
 * fall (Hägele and others, 2024), whose length can still be chosen while a run is on its plateau.
 */
export function rateAt(step: number, steps: number, schedule: ScheduleConfig): number {
  const { rate, rateEnd, warmup } = schedule;
  if (step < warmup) return (rate * (step + 1)) / warmup;
  const start = fallStart(steps, schedule);
  const progress = Math.max(0, Math.min(1, (step - start) / Math.max(1, steps - start)));
  const [, cosine] = exactSineCosine(Math.PI * progress);
  const left = schedule.shape === "cosine" ? (1 + cosine) / 2 : 1 - progress;
  return rate * (rateEnd + (1 - rateEnd) * left);
}

/** The step from which the rate falls. Before it, a plateau's rates do not depend on how many steps there will be. */
export function fallStart(steps: number, { shape, warmup, fall }: ScheduleConfig): number {
  return shape === "cosine" ? warmup : Math.max(warmup, Math.floor(steps * (1 - fall)));
}
