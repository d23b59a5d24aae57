/** I/O: a timer by which resident weights are looked at again between the engine's steps. */

import { ClawError } from "../base/mod.ts";
import { SCRUB_BLOCK_BYTES } from "./limits.ts";
import type { EngineMetrics } from "./metrics.ts";
import type { Scrubber } from "./scrubber.ts";

export interface Scrubbing {
  readonly bytesPerSecond: number;
  readonly metrics: Pick<EngineMetrics, "scrubbed">;
  /** Called once, with E_WEIGHTS_DAMAGED. */
  readonly onDamage: (error: ClawError) => void;
}

/** Looks at a block at a time until it is stopped or something is found; keeps no thread alive. Stops it. */
export function scrubWeights(
  scrubber: Scrubber,
  { bytesPerSecond, metrics, onDamage }: Scrubbing,
): () => void {
  const everyMs = Math.max(1, (1000 * SCRUB_BLOCK_BYTES) / bytesPerSecond);
  const timer = setInterval(() => {
    const { bytes, damaged } = scrubber.step();
    metrics.scrubbed(bytes, damaged !== undefined);
    if (damaged === undefined) return;
    clearInterval(timer);
    onDamage(
      new ClawError(
        "E_WEIGHTS_DAMAGED",
        `The weights of ${damaged} changed in memory since they were loaded.`,
      ),
    );
  }, everyMs).unref();
  return () => clearInterval(timer);
}
