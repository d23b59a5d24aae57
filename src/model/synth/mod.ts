export { type ModelShape, type PresetName, presetNames, presets } from "./presets.ts";
export {
  type SynthModel,
  type SynthOptions,
  type SynthType,
  synthContent,
  synthesize,
  synthTypes,
} from "./synthesize.ts";
