export { loadProgram, type ModelFile, type PackedStore, readVector } from "./load.ts";
export { type MatrixUse, modelMatrices } from "./matrices.ts";
export { evenShards } from "./shards.ts";
