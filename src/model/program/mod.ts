export type { Adapter, AdapterMatrix } from "./adapters.ts";
export {
  compile,
  compileLocal,
  type RankProgram,
} from "./compile.ts";
export { loadProgram, type ModelFile, type PackedStore, readVector, type TensorReader } from "./load.ts";
export { type MatrixUse, modelMatrices } from "./matrices.ts";
export {
  evenShards,
  type Placement,
  proportionalPlacement,
  type Stage,
} from "./placement.ts";
export type { Shard } from "./weights.ts";
export { type LayerMatrix, layerMatrices, layerTensor, linearShape } from "./weights.ts";
