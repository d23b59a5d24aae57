export { loadProgram, type ModelFile, readVector } from "./load.ts";
export { evenShards } from "./shards.ts";
