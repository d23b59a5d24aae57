import { ClawError } from "../../base/mod.ts";

/**
 * What a tokenizer reads of a model file: the typed lookups of its metadata, `undefined` where a key is
 * absent.
 */
export interface TokenizerMetadata {
  optionalString(key: string): string | undefined;
  optionalNumber(key: string): number | undefined;
  optionalBoolean(key: string): boolean | undefined;
  optionalStrings(key: string): readonly string[] | undefined;
  optionalNumbers(key: string): ArrayLike<number> | undefined;
}

/** The error for a vocabulary that is missing, contradictory or not supported. */
export function tokenizerError(message: string): ClawError {
  return new ClawError("E_TOKENIZER", message);
}
