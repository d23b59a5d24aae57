export { measureBacklog } from "./backlog.ts";
export { LOAD_DEFAULTS, RECORDING_ROUNDS } from "./limits.ts";
export type { LoadProgress } from "./load.ts";
export { measureRecording } from "./recording.ts";
export type { BacklogReport, RecordingReport, ServingReport } from "./report.ts";
export { measureServing } from "./serve.ts";
