/** Training: what it reads, and what it leaves. */

export {
  type DataOptions,
  Dataset,
  NO_TARGET,
  prepareData,
  saveTokenizer,
  VOCABULARY_MAX,
  VOCABULARY_MIN,
} from "./data/mod.ts";
