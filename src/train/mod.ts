/** Training: what it reads, and what it leaves. */

export { ByteGrams } from "./baseline/mod.ts";
export { CheckpointWriter, sizesOf } from "./checkpoint/mod.ts";
export { parseLoraConfig, parseTrainConfig } from "./config.ts";
export {
  type DataOptions,
  Dataset,
  NO_TARGET,
  prepareData,
  readDocuments,
  saveTokenizer,
  VOCABULARY_MAX,
  VOCABULARY_MIN,
} from "./data/mod.ts";
export { openTraining } from "./device.ts";
export { Exercise } from "./exercise.ts";
export {
  type ExportType,
  exportAdapter,
  exportModel,
  exportTypes,
  mergeAdapter,
  readModel,
  STORY_TEMPLATE,
} from "./export/mod.ts";
export { CHECKPOINT_SECONDS_DEFAULT } from "./limits.ts";
export type { SessionOptions } from "./session.ts";
export { trainAdapter } from "./train-adapter.ts";
export { trainModel } from "./train-model.ts";
