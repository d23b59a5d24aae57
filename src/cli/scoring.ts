/** A model opened to score texts, a window of one sequence at a time. */

import { packedCacheOf } from "../app.ts";
import type { DeviceOptions, ModelOptions } from "../config/mod.ts";
import { createRuntime, openDevice, type Runtime, STEP_ROWS_DEFAULT } from "../engine/mod.ts";
import { type Model, openPackedCache } from "../model/mod.ts";
import { note } from "./terminal.ts";

/** Tokens in a window where the model has that much context. */
const WINDOW_DEFAULT = 512;
/** Positions whose logits are computed together. */
const OUTPUTS = 64;

export interface ScoringOptions extends ModelOptions, DeviceOptions {
  /** Tokens in a window. */
  readonly window: number | undefined;
}

/** What `use` comes to; device and model are closed afterwards. */
export async function withScoring<T>(
  model: Model,
  options: ScoringOptions,
  use: (runtime: Runtime, window: number) => Promise<T>,
): Promise<T> {
  const { format, kvFormat, tensorParallelismDegree: degree } = options;
  const window = options.window ?? Math.min(WINDOW_DEFAULT, model.description.context);
  const { device, warning } = await openDevice(options);
  if (warning !== undefined) note(warning);
  try {
    const sizes = { context: window, batch: 1, rows: STEP_ROWS_DEFAULT, outputs: OUTPUTS };
    const settings = packedCacheOf(options);
    const packed = await openPackedCache(device, model, { format, degree, settings, onNote: note });
    const runtime = await createRuntime(device, model, { format, kvFormat, degree, packed, ...sizes });
    const keeping = packed?.save();
    const result = await use(runtime, window);
    await keeping;
    return result;
  } finally {
    device.close();
    model.close();
  }
}
