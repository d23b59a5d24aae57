export interface DecodeOptions {
  /** Leaves out control and unknown tokens. Default: false. */
  readonly skipSpecial?: boolean;
  /**
   * Undoes the space that encoding puts before text at the start and after special tokens, so that decoding
   * what was encoded gives it back. Without effect where the vocabulary adds no such space. Default: false.
   */
  readonly stripLeadingSpace?: boolean;
}

/** Turns a stream of tokens into text. All pushes and the end, joined, are the text of the whole sequence. */
export interface Detokenizer {
  /** The text that this token completes; bytes of an unfinished UTF-8 character wait for the next one. */
  push(id: number): string;
  /** What is left: U+FFFD for an unfinished character, else nothing. */
  end(): string;
}

/** What a detokenizer knows of a token. */
export interface TokenText {
  readonly bytes: Uint8Array;
  /** Control, unknown or user-defined: text after it starts afresh. */
  readonly isSpecial: boolean;
  /** Control or unknown: `skipSpecial` leaves it out. */
  readonly isSkipped: boolean;
}

interface DetokenizerOptions {
  readonly skipSpecial: boolean;
  /** Drops one space where text starts afresh. */
  readonly stripSpaces: boolean;
}

/**
 * A detokenizer over `lookUp`. Invalid bytes become U+FFFD as the WHATWG Encoding Standard's UTF-8 decoder
 * does it.
 */
export function createDetokenizer(
  lookUp: (id: number) => TokenText,
  { skipSpecial, stripSpaces }: DetokenizerOptions,
): Detokenizer {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let isFresh = true;
  return {
    push: (id) => {
      const { bytes, isSpecial, isSkipped } = lookUp(id);
      const strip = stripSpaces && isFresh && !isSpecial && bytes[0] === 0x20;
      isFresh = isSpecial;
      if (skipSpecial && isSkipped) return "";
      return decoder.decode(strip ? bytes.subarray(1) : bytes, { stream: true });
    },
    end: () => decoder.decode(),
  };
}
