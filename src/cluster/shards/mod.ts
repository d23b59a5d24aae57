export { RANKS_MAX } from "./limits.ts";
export { startLocal } from "./local.ts";
export { runNode } from "./node.ts";
export { startNodes } from "./nodes.ts";
