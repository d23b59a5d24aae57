export { type AllocReport, measureAlloc } from "./alloc.ts";
export { measureAuthorize } from "./authorize.ts";
export type { CheckpointReport } from "./checkpoints.ts";
export { ENTRY_BYTES_MIN, type LedgerReport, measureLedger } from "./ledger/mod.ts";
export { ROUNDS_DEFAULT } from "./limits.ts";
export { type LinkFigures, MESSAGES_DEFAULT, measureLinks } from "./link/mod.ts";
export { measureNode } from "./node.ts";
export {
  type Agreement,
  comparePerplexity,
  continuations,
  FACTORS_DEFAULT,
  LAYERS_DEFAULT,
  type LossyFormat,
  type Mixture,
  measureAgreement,
  measureDivergence,
  type Passage,
  PERPLEXITY_WINDOW,
  type QualityReport,
  SEEDS_DEFAULT as QUALITY_SEEDS_DEFAULT,
} from "./quality/mod.ts";
export { type Measured, recordSection } from "./record.ts";
export { type BenchReport, benchNames } from "./report.ts";
export { runBench } from "./run.ts";
export { measureSealing } from "./seal.ts";
export {
  type BacklogReport,
  LOAD_DEFAULTS,
  type LoadProgress,
  measureBacklog,
  measureRecording,
  measureServing,
  RECORDING_ROUNDS,
  type RecordingReport,
  type ServingReport,
} from "./serving/mod.ts";
export { measureShards, type SplitFigures } from "./shard/mod.ts";
export { measureTraining } from "./train.ts";
