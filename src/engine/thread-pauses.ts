/** I/O: how long the engine's thread was kept from its work: by garbage collection, and by its own event loop. */

import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import type { EngineMetrics } from "./metrics.ts";

/** How often the event loop is looked at, and over how long its delays are told, in milliseconds. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 10_000;
const NANOSECONDS = 1e9;

/** Watches this thread for as long as it lives. */
export function watchPauses(metrics: EngineMetrics): void {
  const collections = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) metrics.collected(duration / 1000);
  });
  collections.observe({ entryTypes: ["gc"] });
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const timer = setInterval(() => {
    // What is measured is the time between two looks, of which the resolution is no delay.
    const seconds = (nanoseconds: number): number =>
      Math.max(0, nanoseconds / NANOSECONDS - RESOLUTION_MS / 1000);
    metrics.delayed({
      loopDelayP50: seconds(delays.percentile(50)),
      loopDelayP99: seconds(delays.percentile(99)),
      loopDelayMax: seconds(delays.max),
    });
    delays.reset();
  }, WINDOW_MS);
  timer.unref();
}
