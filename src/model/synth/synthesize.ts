/** Random-weight models in the shapes of real ones, for tests and measurements that need no meaning. */

import { ClawError } from "../../base/mod.ts";
import type { SourceType } from "../../tensor/mod.ts";
import { type GgufContent, writeGguf } from "../gguf/mod.ts";
import { modelMetadata } from "./metadata.ts";
import { noOutliers, planOutliers } from "./outliers.ts";
import { type PresetName, presets } from "./presets.ts";
import { weightTensors } from "./weights.ts";

export type SynthType = "f16" | "q8_0" | "q4_0";

export interface SynthModel {
  readonly preset: PresetName;
  /** Undefined: as many as the preset has. */
  readonly layers?: number | undefined;
  readonly type: SynthType;
  /** Plant outlier channels of 50 to 500 times the median. */
  readonly outliers: boolean;
  /** One factor for all outlier channels instead; at least 1. */
  readonly outlierFactor?: number | undefined;
  /** Whether all layers are the same bytes, which are in the file once: a shape that no disk or memory would hold. */
  readonly sharedLayers?: boolean | undefined;
  /** A whole number from 0 to 2^53 - 1; the file is a pure function of these options. */
  readonly seed: number;
}

export interface SynthOptions extends SynthModel {
  /** The path of the file to write. */
  readonly out: string;
  onProgress?(bytesWritten: number, bytesTotal: number): void;
}

interface TypeRow {
  readonly source: SourceType;
  /** llama.cpp's `llama_ftype`. */
  readonly fileType: number;
}

const types: Readonly<Record<SynthType, TypeRow>> = {
  f16: { source: "F16", fileType: 1 },
  q8_0: { source: "Q8_0", fileType: 7 },
  q4_0: { source: "Q4_0", fileType: 2 },
};

export const synthTypes: readonly SynthType[] = ["f16", "q8_0", "q4_0"];

/** Writes the model to `out`. Errors: E_FILE, E_USAGE. */
export function synthesize(options: SynthOptions): void {
  const { out, onProgress } = options;
  writeGguf(out, { ...synthContent(options), ...(onProgress && { onProgress }) });
}

/** The model as the content of a GGUF file. Errors: E_USAGE for a seed, factor or number of layers out of range. */
export function synthContent(model: SynthModel): GgufContent {
  const { seed, layers, outlierFactor, sharedLayers = false } = model;
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ClawError("E_USAGE", `The seed is ${seed}; it should be a whole number from 0 on.`);
  }
  if (outlierFactor !== undefined && !(outlierFactor >= 1 && Number.isFinite(outlierFactor))) {
    throw new ClawError("E_USAGE", `The outlier factor is ${outlierFactor}; it should be at least 1.`);
  }
  if (layers !== undefined && !(Number.isSafeInteger(layers) && layers >= 1)) {
    throw new ClawError("E_USAGE", `The number of layers is ${layers}; it should be at least 1.`);
  }
  const shape = { ...presets[model.preset], ...(layers !== undefined && { layers }) };
  const { source, fileType } = types[model.type];
  const outliers = model.outliers ? planOutliers(shape, { seed, factor: outlierFactor }) : noOutliers;
  return {
    metadata: modelMetadata(shape, { name: model.preset, fileType }),
    tensors: weightTensors({ shape, type: source, seed, outliers, sharedLayers }),
  };
}
