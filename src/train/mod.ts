/** Training: what it reads, and what it leaves. */

export { ByteGrams } from "./baseline/mod.ts";
export { parseTrainConfig } from "./config.ts";
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
export { Exercise } from "./exercise.ts";
export { type ExportType, exportModel, exportTypes, readModel, STORY_TEMPLATE } from "./export/mod.ts";
export { type SessionOptions, trainModel } from "./session.ts";
