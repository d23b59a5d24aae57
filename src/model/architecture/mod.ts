export {
  attentionSegments,
  ffnSegments,
  type ModelDescription,
  residualSegments,
} from "./description.ts";
export { HEAD_DIM_MAX } from "./limits.ts";
export { llamaMetadata } from "./llama-metadata.ts";
export { describe, ROPE_FREQUENCIES } from "./registry.ts";
export { ropeTable } from "./rope.ts";
