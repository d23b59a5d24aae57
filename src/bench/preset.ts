/** I/O: writes the models of presets once and keeps them. */

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ClawError } from "../base/mod.ts";
import type { WeightFormat } from "../kernels/mod.ts";
import { type PresetName, type SynthType, synthesize } from "../model/mod.ts";

/** What a model file holds so that ours and the peer's weights are as wide as each other. */
export const fileTypes: Readonly<Record<WeightFormat, SynthType>> = { f16: "f16", i8: "q8_0", i4: "q4_0" };

export type ProgressListener = (fraction: number) => void;

export interface PresetChoice {
  readonly preset: PresetName;
  readonly format: WeightFormat;
  /** Undefined: as many as the preset has. */
  readonly layers?: number;
}

/** The file of a preset in `folder`, made where it is missing. Errors: E_FILE. */
export function presetFile(
  folder: string,
  { preset, format, layers }: PresetChoice,
  onProgress: ProgressListener,
): string {
  const type = fileTypes[format];
  const cut = layers === undefined ? "" : `-${layers}-layers`;
  const path = join(folder, `${preset}${cut}-${type}.gguf`);
  if (existsSync(path)) return path;
  makeFolder(folder);
  // Renamed when it is whole: an interrupted run, or a second one, leaves no half a model under the final name.
  const unfinished = `${path}.${process.pid}`;
  try {
    const advance = (done: number, total: number): void => onProgress(done / total);
    synthesize({ preset, layers, type, outliers: false, seed: 0, out: unfinished, onProgress: advance });
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return path;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClawError("E_FILE", `Cannot make ${folder} for the models to measure: ${reason}.`, {
      cause: error,
    });
  }
}
