export * from "./detector/mod.ts";
export * from "./journal/mod.ts";
export * from "./membership/mod.ts";
export * from "./nodes/mod.ts";
export * from "./plan/mod.ts";
export * from "./shards/mod.ts";
export * from "./slices/mod.ts";
