export { type RunningCapabilities, startCapabilities } from "./capabilities.ts";
export { openCluster, type RunningCluster } from "./cluster.ts";
export { Gateway } from "./gateway.ts";
export { openLedger, recorderOf } from "./ledger.ts";
export { drained, listen } from "./listening.ts";
export { LiveSettings, type Sources } from "./live-settings.ts";
export { ServedRoot } from "./model-root.ts";
export { copySettings, parallelismOf, rankSettings } from "./ranks.ts";
