export type { GatewayCounts } from "./gateway-metrics.ts";
export { ServerMetrics } from "./server-metrics.ts";
