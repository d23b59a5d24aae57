/** `claw model synth`: writes a model with random weights. */

import { ClawError } from "../../base/mod.ts";
import { choiceOption, numberOption, switchOption, textOption } from "../../config/mod.ts";
import { type PresetName, presetNames, type SynthType, synthesize, synthTypes } from "../../model/mod.ts";
import { type Command, defineCommand } from "../command.ts";
import { progressLine } from "../terminal.ts";

interface SynthSettings {
  readonly preset: PresetName | undefined;
  readonly type: SynthType;
  readonly outliers: boolean;
  readonly seed: number;
  readonly out: string | undefined;
}

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
    outliers: switchOption(
      "outliers",
      "a few activation channels 50 to 500 times the median, as real models have",
    ),
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
    const progress = progressLine("Writing the model:");
    synthesize({ ...rest, preset, out, onProgress: (done, total) => progress(done / total) });
  },
});
