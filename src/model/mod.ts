export {
  ALPHA_MAX,
  matrixOfTarget,
  readAdapter,
  type StoredAdapter,
  targetName,
  writeAdapter,
} from "./adapter/mod.ts";
export {
  attentionSegments,
  ffnSegments,
  llamaMetadata,
  type ModelDescription,
  ROPE_FREQUENCIES,
  residualSegments,
  ropeTable,
} from "./architecture/mod.ts";
export {
  bytesSource,
  encodeGguf,
  type Gguf,
  type GgufValue,
  Metadata,
  openByteSource,
  readGguf,
  type TensorContent,
  writeGguf,
} from "./gguf/mod.ts";
export { type Model, type OpenedFile, openModel, openModelFile } from "./open.ts";
export {
  clearPacked,
  contentDigest,
  identify,
  listPacked,
  openPackedCache,
  type PackedCacheSettings,
  type PackedListing,
  readOrMakeCacheKey,
} from "./packed/mod.ts";
export {
  type Adapter,
  type AdapterMatrix,
  compile,
  compileLocal,
  evenShards,
  type LayerMatrix,
  layerMatrices,
  layerTensor,
  linearShape,
  loadProgram,
  type MatrixUse,
  modelMatrices,
  type PackedStore,
  type Placement,
  proportionalPlacement,
  type RankProgram,
  type Shard,
  type Stage,
  type TensorReader,
} from "./program/mod.ts";
export {
  checkTopology,
  compareSeals,
  isConsistent,
  type ModelSeal,
  measureSeal,
  SealedTensors,
  type Topology,
  tensorDigest,
  topologyParts,
} from "./seal/mod.ts";
export {
  describePreset,
  Generator,
  type PresetName,
  presetNames,
  type SynthType,
  synthesize,
  synthTypes,
} from "./synth/mod.ts";
export { type ChatMessage, type ChatTemplate, encodePieces, plainStops } from "./template/mod.ts";
export {
  createTokenizer,
  cutWords,
  type PreTokenizer,
  readPreTokenizer,
  spellBytes,
  type Tokenizer,
} from "./tokenizer/mod.ts";
