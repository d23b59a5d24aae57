export { compareSeals, isConsistent } from "./compare.ts";
export { measureSeal } from "./measure.ts";
export { type ModelSeal, type Topology, topologyParts } from "./tree.ts";
