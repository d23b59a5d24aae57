export { measureBacklog } from "./backlog.ts";
export { LOAD_DEFAULTS } from "./limits.ts";
export type { LoadProgress } from "./load.ts";
export type { BacklogReport, ServingReport } from "./report.ts";
export { measureServing } from "./serve.ts";
