/** From a corpus to batches of tokens: the tokenizer, the encoded corpus, and reading it. */

export { type DataCursor, Dataset, NO_TARGET } from "./dataset.ts";
export { readDocuments } from "./documents.ts";
export { VOCABULARY_MAX, VOCABULARY_MIN } from "./limits.ts";
export { type DataOptions, type PreparedData, prepareData, saveTokenizer } from "./prepare.ts";
export type { MetadataEntries } from "./tokenizer-metadata.ts";
