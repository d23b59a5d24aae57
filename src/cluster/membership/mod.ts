export { Agent } from "./agent.ts";
export { type Control, type ControlAccess, makeClusterSecret, natsOptions, openControl } from "./control.ts";
export { Fence } from "./fence.ts";
export { NODE_RECORD_BYTES_MAX, REQUEST_MS, STATE_BYTES_MAX } from "./limits.ts";
export {
  Member,
  type MemberOptions,
  type MemberStatus,
  type PeerStatus,
  type PlanOutcome,
} from "./member.ts";
export { MemoryStore } from "./memory-store.ts";
export { connectNats, controlError, type NatsAccess } from "./nats-connection.ts";
export { openNatsStore } from "./nats-store.ts";
export {
  type ClusterState,
  CONTROL_VERSION,
  type Dialect,
  type HeldModel,
  NO_DEGREES,
  NO_SLICES,
  type NodeAddress,
  type NodeRecord,
  nodeKey,
  type PlanRecord,
  type PrescribedDegrees,
  readState,
  type SliceCounts,
  STATE_KEY,
} from "./records.ts";
export type { Answer, Request } from "./register.ts";
export type { ControlStore, Entry } from "./store.ts";
export { TIMING_DEFAULT, type Timing } from "./timing.ts";
