/**
 * The part of a tokenizer that differs between its kinds: how ordinary text becomes tokens, and tokens bytes.
 */
export interface SubWords {
  readonly kind: "spm" | "bpe";
  /** Whether `encode` puts a space before text that starts a sequence or follows a special token. */
  readonly addsSpacePrefix: boolean;
  /** Appends the tokens of well-formed `text`, which holds no special token. Deterministic, O(n log n). */
  encode(text: string, output: number[]): void;
  /** The bytes that a normal token stands for. */
  bytesOf(id: number): Uint8Array;
}
