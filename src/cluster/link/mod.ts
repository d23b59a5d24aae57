export type { LinkSettings, PeerLink } from "./handshake.ts";
export { SECRET_BYTES } from "./limits.ts";
export { connectPeer, PeerListener } from "./peers.ts";
