export * from "./shards/mod.ts";
