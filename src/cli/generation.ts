/** What `run` and `chat` have in common: options to a request, and to an engine for one reader. */

import { type LocalModel, loadModel } from "../app.ts";
import {
  type DeviceOptions,
  defaultsOf,
  deviceOptions,
  type EngineOptions,
  engineOptions,
  type ModelOptions,
  modelOptions,
  type OptionTable,
  type SamplingOptions,
  samplingOptions,
} from "../config/mod.ts";
import { defaultSampling, type EngineInfo, type TextRequest } from "../engine/mod.ts";
import { adapterOption } from "./scoring.ts";
import { note, progressLine } from "./terminal.ts";

export interface GenerationOptions extends ModelOptions, DeviceOptions, SamplingOptions {
  readonly adapter: string | undefined;
  readonly context: EngineOptions["context"];
}

export const generationOptions: OptionTable<GenerationOptions> = {
  ...modelOptions,
  adapter: adapterOption,
  ...deviceOptions,
  context: engineOptions.context,
  ...samplingOptions,
};

/** Loads a model for one answer at a time; what an operator should know is noted. */
export async function loadForOne(
  path: string,
  {
    adapter,
    ...options
  }: DeviceOptions & Pick<EngineOptions, "context"> & Pick<GenerationOptions, "adapter">,
): Promise<LocalModel> {
  const engine: EngineOptions = { ...defaultsOf(engineOptions), ...options, maxBatch: 1 };
  const progress = progressLine("Loading the model:");
  const model = await loadModel(path, engine, {
    ...{ onProgress: progress, onNote: note },
    adapters: adapter === undefined ? [] : [{ name: "adapter", folder: adapter }],
  });
  progress(1);
  if (model.info.warning !== undefined) note(model.info.warning);
  return model;
}

/** The request for an answer to `prompt`, with what the context holds where no number of tokens was asked for. */
export function textRequest(
  prompt: Int32Array,
  options: SamplingOptions,
  { seed, info, stopStrings }: { seed: number; info: EngineInfo; stopStrings: readonly string[] },
): TextRequest {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  return {
    prompt,
    maxTokens: options.maxTokens ?? Math.max(1, info.context - prompt.length),
    sampling: { ...defaultSampling, temperature, topK, topP, minP, repetitionPenalty, seed },
    stopStrings,
    stopTokens: [],
    // The only one there may be.
    adapter: info.adapters[0]?.digest,
  };
}
