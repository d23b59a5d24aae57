export { readAdapter, type StoredAdapter, writeAdapter } from "./folder.ts";
export { ALPHA_MAX } from "./limits.ts";
export { matrixOfTarget, targetName } from "./peft.ts";
