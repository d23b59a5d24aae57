export { PageFollower } from "./follower.ts";
export { PageHost } from "./host.ts";
export type { PagePeer } from "./source.ts";
