export { Generator } from "./generator.ts";
export { describePreset } from "./metadata.ts";
export { type PresetName, presetNames, presets } from "./presets.ts";
export {
  type SynthModel,
  type SynthType,
  synthContent,
  synthesize,
  synthTypes,
} from "./synthesize.ts";
