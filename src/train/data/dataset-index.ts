/** A dataset's index, `dataset.json`: what its token files hold, and from what they were made. */

import { ClawError } from "../../base/mod.ts";
import { DOCUMENTS_MAX } from "./limits.ts";

/**
 * One token file, NAME.tokens: tokens of 16 bits, little endian. Each document begins with the end-of-text token, and after
 * the last one there is another, so every token of every document has a successor to predict.
 */
export interface SplitIndex {
  /** Tokens in the file. */
  readonly tokens: number;
  /** Where each document begins, in tokens; ascending from 0. */
  readonly documents: readonly number[];
  /** Bytes of the documents' text in UTF-8. */
  readonly textBytes: number;
  /** SHA-256 of the token file in hexadecimal digits. */
  readonly digest: string;
}

export const splitNames = ["train", "valid"] as const;
export type SplitName = (typeof splitNames)[number];

export interface DatasetIndex {
  readonly format: typeof DATASET_FORMAT;
  /** Digest of the tokenizer's file. */
  readonly tokenizer: string;
  /** The end-of-text token. */
  readonly end: number;
  /** What the dataset was made from; a dataset of another source is made anew. */
  readonly source: string;
  readonly splits: Readonly<Record<SplitName, SplitIndex>>;
}

export const DATASET_FORMAT = "openclaw dataset 1";
export const INDEX_NAME = "dataset.json";
/** Bytes of a token. */
export const TOKEN_BYTES = 2;

/** Reads an index. Errors: E_CORPUS where it is not one or contradicts itself. */
export function parseIndex(text: string, path: string): DatasetIndex {
  const refuse = (why: string): never => {
    throw new ClawError("E_CORPUS", `Reading ${path}: ${why}. Encode the corpus again.`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("it is not JSON");
  }
  const index = value as DatasetIndex | null;
  if (index?.format !== DATASET_FORMAT) return refuse(`its format is not "${DATASET_FORMAT}"`);
  const texts = [index.tokenizer, index.source];
  const sound = texts.every((entry) => typeof entry === "string") && isToken(index.end);
  if (!sound) return refuse("it does not say what it was made from");
  for (const name of splitNames) {
    if (!isSplit(index.splits?.[name])) return refuse(`its split ${name} contradicts itself`);
  }
  return index;
}

function isToken(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 16;
}

function isSplit(split: SplitIndex | undefined): boolean {
  if (split === undefined || !Array.isArray(split.documents) || typeof split.digest !== "string")
    return false;
  const { tokens, documents, textBytes } = split;
  const whole = [tokens, textBytes].every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!whole || documents.length > DOCUMENTS_MAX) return false;
  const ascending = documents.every(
    (start, i) => Number.isSafeInteger(start) && start > (documents[i - 1] ?? -1) && start < tokens - 1,
  );
  return ascending && (documents.length === 0 ? tokens === 0 : documents[0] === 0);
}
