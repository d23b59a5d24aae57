/** `claw bench divergence`: what quantizing costs a model with outlier channels, beside what it costs llama.cpp's. */

import {
  FACTORS_DEFAULT,
  LAYERS_DEFAULT,
  measureDivergence,
  QUALITY_SEEDS_DEFAULT,
} from "../../bench/mod.ts";
import { choiceOption, numberOption } from "../../config/mod.ts";
import { type PresetName, presetNames } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { type QualityOptions, qualityOptions, report } from "../quality.ts";
import { progressLine } from "../terminal.ts";

interface DivergenceSettings extends QualityOptions {
  readonly preset: PresetName;
  readonly layers: number;
  readonly outlierFactor: number | undefined;
  readonly seeds: number;
}

const LAYERS_MAX = 1024;
const SEEDS_MAX = 100;

export const benchDivergence: Command = defineCommand<DivergenceSettings>({
  name: "bench divergence",
  summary: "Measures how far quantizing takes a model with outlier channels from itself.",
  options: {
    preset: choiceOption({
      flag: "preset",
      meaning: "the widths of the models, which are random",
      choices: presetNames,
      default: "llama-1b",
    }),
    layers: numberOption({
      flag: "layers",
      meaning: "their layers",
      range: [1, LAYERS_MAX],
      default: LAYERS_DEFAULT,
    }),
    outlierFactor: numberOption({
      flag: "outlier-factor",
      meaning: "how far outlier channels stand out",
      range: [1, 10_000],
      whole: false,
      default: undefined,
      otherwise: FACTORS_DEFAULT.join(" and "),
    }),
    seeds: numberOption({
      flag: "seeds",
      meaning: "models whose median counts",
      range: [1, SEEDS_MAX],
      default: QUALITY_SEEDS_DEFAULT,
    }),
    ...qualityOptions,
  },
  run: async (settings) => {
    const { preset, layers, outlierFactor, seeds, format, mixture, threads, peer } = settings;
    const measured = await measureDivergence({
      preset,
      layers,
      format,
      mixture,
      factors: outlierFactor === undefined ? FACTORS_DEFAULT : [outlierFactor],
      seeds,
      threads,
      peer: peer !== undefined,
      onProgress: progressLine("Comparing:"),
    });
    const flags = { preset, layers, "outlier-factor": outlierFactor, seeds };
    return report(measured, settings, flags);
  },
});
