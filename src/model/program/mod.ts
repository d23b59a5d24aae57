export { loadProgram, type ModelFile, type PackedStore, readVector, type TensorReader } from "./load.ts";
export { type MatrixUse, modelMatrices } from "./matrices.ts";
export { evenShards } from "./shards.ts";
