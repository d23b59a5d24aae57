/** `claw model synth`: writes a model with random weights. */

import { ClawError } from "../../base/mod.ts";
import { choiceOption, numberOption, switchOption, textOption } from "../../config/mod.ts";
import { type PresetName, presetNames, type SynthType, synthesize, synthTypes } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { progressLine } from "../terminal.ts";

interface SynthSettings {
  readonly preset: PresetName | undefined;
  readonly type: SynthType;
  readonly layers: number | undefined;
  readonly sharedLayers: boolean;
  readonly outliers: boolean;
  readonly outlierFactor: number | undefined;
  readonly seed: number;
  readonly out: string | undefined;
}

/** More than any published model has. */
const LAYERS_MAX = 1024;
/** Far beyond the outliers of trained models; gains stay finite half floats. */
const OUTLIER_FACTOR_MAX = 10_000;

export const modelSynth: Command = defineCommand<SynthSettings>({
  name: "model synth",
  summary: "Writes a model with random weights in the shape of a real one, for tests and measurements.",
  options: {
    preset: choiceOption({
      flag: "preset",
      meaning: "the shape",
      choices: presetNames,
      default: undefined,
    }),
    type: choiceOption({
      flag: "type",
      meaning: "how the file holds matrices",
      choices: synthTypes,
      default: "f16",
    }),
    layers: numberOption({
      flag: "layers",
      meaning: "layers, for a smaller file of the same widths",
      range: [1, LAYERS_MAX],
      default: undefined,
      otherwise: "the preset's",
    }),
    sharedLayers: switchOption(
      "shared-layers",
      "one layer's weights in the file, and all layers of the model made of them",
    ),
    outliers: switchOption(
      "outliers",
      "a few activation channels 50 to 500 times the median, as real models have",
    ),
    outlierFactor: numberOption({
      flag: "outlier-factor",
      meaning: "one factor for all outlier channels; needs --outliers",
      range: [1, OUTLIER_FACTOR_MAX],
      whole: false,
      default: undefined,
      otherwise: "drawn for each channel",
    }),
    seed: numberOption({
      flag: "seed",
      meaning: "the same seed gives the same file",
      range: [0, Number.MAX_SAFE_INTEGER],
      default: 0,
    }),
    out: textOption({ flag: "out", placeholder: "FILE", meaning: "the file to write", default: undefined }),
  },
  run: ({ preset, out, ...rest }) => {
    if (preset === undefined || out === undefined) {
      throw new ClawError("E_USAGE", "claw model synth needs --preset NAME and --out FILE.");
    }
    if (rest.outlierFactor !== undefined && !rest.outliers) {
      throw new ClawError("E_USAGE", "claw model synth takes --outlier-factor with --outliers only.");
    }
    const progress = progressLine("Writing the model:");
    synthesize({ ...rest, preset, out, onProgress: (done, total) => progress(done / total) });
  },
});
