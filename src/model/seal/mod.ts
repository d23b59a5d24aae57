export { checkTopology, compareSeals, isConsistent } from "./compare.ts";
export { measureSeal } from "./measure.ts";
export { SealedTensors } from "./sealed-tensors.ts";
export { type ModelSeal, type Topology, tensorDigest, topologyParts } from "./tree.ts";
