/** How a teacher is followed in the course of a run. */

import type { DistillConfig, ScheduleConfig } from "./config.ts";
import type { LessonNumbers } from "./learner.ts";
import { fallStart } from "./schedule.ts";

/** The lesson of each step of a run: as configured, and from the step at which the rate begins to fall, as configured for that. */
export function lessons(
  { fall, ...distill }: DistillConfig,
  schedule: ScheduleConfig,
  steps: number,
): (step: number) => LessonNumbers {
  const start = fallStart(steps, schedule);
  return (step) => {
    const { share, temperature, greedy } = (step >= start && fall) || {};
    return {
      share: share ?? distill.share,
      temperature: temperature ?? distill.temperature ?? 1,
      greedy: greedy ?? distill.greedy ?? 0,
    };
  };
}
