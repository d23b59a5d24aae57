export { RequestAccount } from "./account.ts";
export { type Administration, describeChange } from "./admin.ts";
export { Admission } from "./admission.ts";
export { type ApiKey, ownersKey, readKeys, readOrMakeApiKey } from "./api-key.ts";
export { Completions, type Surroundings } from "./completions.ts";
export { fingerprintOf, modelDigest } from "./fingerprint.ts";
export { createHttpServer } from "./http.ts";
export { anyone, type HashedKey, KeyRing } from "./keys.ts";
export { completion } from "./kinds.ts";
export { createLog, type Log, type LogSink } from "./log.ts";
export { type GatewayCounts, ServerMetrics } from "./metrics/mod.ts";
export { type ServedModel, ServedModels } from "./models.ts";
export { textBytesMax } from "./prompts.ts";
export { resumeStream } from "./resumption.ts";
export {
  alone,
  during,
  type KeptStream,
  KeptStreams,
  parseEventId,
  type Standing,
  type StreamJournal,
  type Tenure,
} from "./streams/mod.ts";
export { expectStream, takeOver } from "./takeover.ts";
export { watchFile } from "./watch.ts";
