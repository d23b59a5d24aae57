/** A model opened to score texts, a window of one sequence at a time. */

import { packedCacheOf } from "../app.ts";
import { type DeviceOptions, type ModelOptions, type Option, textOption } from "../config/mod.ts";
import { createRuntime, openDevice, type Runtime, STEP_ROWS_DEFAULT } from "../engine/mod.ts";
import { type Model, openPackedCache, readAdapter } from "../model/mod.ts";
import { note } from "./terminal.ts";

/** Tokens in a window where the model has that much context. */
const WINDOW_DEFAULT = 512;
/** Positions whose logits are computed together. */
const OUTPUTS = 64;

export interface ScoringOptions extends ModelOptions, DeviceOptions {
  /** Tokens in a window. */
  readonly window: number | undefined;
  /** The folder of an adapter. */
  readonly adapter: string | undefined;
}

export const adapterOption: Option<string | undefined> = textOption({
  flag: "adapter",
  placeholder: "FOLDER",
  meaning: "an adapter (LoRA) in PEFT's format to lay over the model",
  default: undefined,
});

/** The adapter to score with: the one that was given, or none. */
export function givenAdapter({ adapters }: Runtime): number {
  return adapters.length;
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
    const adapters = options.adapter === undefined ? [] : [readAdapter(options.adapter, model.description)];
    const chosen = { format, kvFormat, degree, packed, adapters };
    const runtime = await createRuntime(device, model, { ...chosen, ...sizes });
    const keeping = packed?.save();
    const result = await use(runtime, window);
    await keeping;
    return result;
  } finally {
    device.close();
    model.close();
  }
}
