export { Generator } from "./generator.ts";
export { type PresetName, presetNames, presets } from "./presets.ts";
export {
  type SynthModel,
  type SynthType,
  synthContent,
  synthesize,
  synthTypes,
} from "./synthesize.ts";
