export type { ModelDescription } from "./architecture/mod.ts";
export { attentionSegments, ffnSegments, residualSegments } from "./architecture/mod.ts";
export { type Gguf, type Metadata, openByteSource, readGguf, type TensorInfo } from "./gguf/mod.ts";
export { type Model, openModel } from "./open.ts";
export { evenShards, loadProgram, type Shard } from "./program/mod.ts";
export {
  type PresetName,
  presetNames,
  type SynthOptions,
  type SynthType,
  synthesize,
  synthTypes,
} from "./synth/mod.ts";
export { type ChatMessage, type ChatTemplate, encodePieces, plainStops } from "./template/mod.ts";
export type { Detokenizer, Tokenizer } from "./tokenizer/mod.ts";
