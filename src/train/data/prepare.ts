/** I/O: makes what training reads, a tokenizer and a dataset, unless it is there already. */

import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { attempt } from "../../base/files/mod.ts";
import { ClawError } from "../../base/mod.ts";
import { readIndex } from "./dataset.ts";
import type { DatasetIndex } from "./dataset-index.ts";
import { readDocuments } from "./documents.ts";
import { encodeCorpus } from "./encode.ts";
import { CHUNK_BYTES } from "./limits.ts";
import { type NamedTokenizer, readTokenizer, trainTokenizer } from "./tokenizer.ts";

export interface DataOptions {
  /** The text to train on. */
  readonly corpus: string;
  /** The text to validate with; undefined: some documents of the corpus are held out. */
  readonly valid: string | undefined;
  /** The share of documents held out where `valid` is undefined. */
  readonly heldOut: number;
  readonly seed: number;
  /** The file of a tokenizer, or a model that has one; undefined: one of `vocabulary` tokens is learned from the corpus. */
  readonly tokenizer: string | undefined;
  readonly vocabulary: number;
  /** Where both are kept. */
  readonly folder: string;
  /** Told what is done, and how much of it. */
  onProgress?(stage: string, fraction: number): void;
}

export interface PreparedData {
  readonly tokenizer: NamedTokenizer;
  readonly index: DatasetIndex;
  /** The folder of the dataset. */
  readonly folder: string;
}

/**
 * The tokenizer and the dataset of a corpus. What the folder holds is used if it was made from the same texts with the same
 * options. Errors: E_FILE, E_CORPUS, E_USAGE; those of reading a model file for `tokenizer`.
 */
export function prepareData(options: DataOptions): PreparedData {
  const { corpus, valid, heldOut, seed, folder, onProgress } = options;
  const digests = [corpus, valid].map((path) => (path === undefined ? null : fileDigest(path)));
  const tokenizer = prepareTokenizer(options, digests[0] ?? null);
  const source = JSON.stringify([...digests, valid === undefined ? [heldOut, seed] : null]);
  const kept = keptIndex(folder);
  if (kept?.source === source && kept.tokenizer === tokenizer.digest) {
    return { tokenizer, index: kept, folder };
  }
  const encoding = {
    ...{ tokenizer, train: corpus, valid, heldOut, seed, folder, source },
    onProgress: (done: number, total: number) => onProgress?.("Encoding the corpus:", done / total),
  };
  return { tokenizer, index: encodeCorpus(encoding), folder };
}

/** The tokenizer's file keeps the corpus it was learned from in its name, so it is learned once. */
function prepareTokenizer(options: DataOptions, corpusDigest: string | null): NamedTokenizer {
  const { corpus, tokenizer, vocabulary, folder, onProgress } = options;
  const path = tokenizer ?? join(folder, `tokenizer-${vocabulary}-${corpusDigest?.slice(0, 16)}.gguf`);
  if (tokenizer === undefined && !existsSync(path)) {
    saveTokenizer(path, { corpus, vocabulary, ...(onProgress && { onProgress }) });
  }
  return readTokenizer(
    attempt(`Cannot use ${path}`, () => readFileSync(path)),
    path,
  );
}

interface SaveOptions {
  readonly corpus: string;
  readonly vocabulary: number;
  onProgress?(stage: string, fraction: number): void;
}

/** Learns a tokenizer from a corpus and writes it. Errors: E_FILE, E_CORPUS, E_USAGE. */
export function saveTokenizer(path: string, { corpus, vocabulary, onProgress }: SaveOptions): void {
  const counting = (done: number, total: number): void => onProgress?.("Counting words:", done / total);
  const merging = (done: number, total: number): void => onProgress?.("Learning merges:", done / total);
  const bytes = trainTokenizer(readDocuments(corpus, counting), { vocabulary, onProgress: merging });
  attempt(`Cannot use ${path}`, () => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.partial`, bytes, { flush: true });
    renameSync(`${path}.partial`, path);
  });
}

function keptIndex(folder: string): DatasetIndex | undefined {
  try {
    return readIndex(folder);
  } catch (error) {
    // Absent, or of another format: it is made anew.
    if (error instanceof ClawError) return undefined;
    throw error;
  }
}

function fileDigest(path: string): string {
  return attempt(`Cannot use ${path}`, () => {
    const descriptor = openSync(path, "r");
    try {
      const hash = createHash("sha256");
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
        hash.update(chunk.subarray(0, read));
      }
      return hash.digest("hex");
    } finally {
      closeSync(descriptor);
    }
  });
}
