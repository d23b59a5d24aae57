/** How large each step's stride is: a linear rise, then half a cosine (Loshchilov and Hutter, 2017). */

import { exactSineCosine } from "../base/mod.ts";
import type { ScheduleConfig } from "./config.ts";

/** Updates in a run. */
export function totalSteps({ tokens, batch }: ScheduleConfig, context: number): number {
  return Math.ceil(tokens / (batch * context));
}

/** The rate of step `step`, from 0. */
export function rateAt(step: number, steps: number, { rate, rateEnd, warmup }: ScheduleConfig): number {
  const rising = Math.ceil(steps * warmup);
  if (step < rising) return (rate * (step + 1)) / rising;
  const progress = Math.min(1, (step - rising) / Math.max(1, steps - rising));
  const [, cosine] = exactSineCosine(Math.PI * progress);
  return rate * (rateEnd + ((1 - rateEnd) * (1 + cosine)) / 2);
}
