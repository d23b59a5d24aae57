export {
  attentionSegments,
  ffnSegments,
  type ModelDescription,
  residualSegments,
} from "./description.ts";
export { describe, ROPE_FREQUENCIES } from "./registry.ts";
export { ropeTable } from "./rope.ts";
