/** Training: what it reads, and what it leaves. */

export {
  type DataCursor,
  type DataOptions,
  Dataset,
  type DatasetIndex,
  type MetadataEntries,
  type NamedTokenizer,
  NO_TARGET,
  type PreparedData,
  prepareData,
  readTokenizer,
  type SplitName,
  saveTokenizer,
  VOCABULARY_MAX,
  VOCABULARY_MIN,
} from "./data/mod.ts";
