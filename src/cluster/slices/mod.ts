export { type FetchProgress, type FetchTerms, SliceFetch } from "./fetch.ts";
export { type HostedModel, SliceHost } from "./host.ts";
export type { OpenSource, SlicePeer } from "./source.ts";
