/** What responses say about single tokens: how they are spelled, and where in the answer they are. */

import type { TextToken, TokenLogprob } from "../engine/mod.ts";
import type { Tokenizer } from "../model/mod.ts";
import type { TokenAlternative, TokenReport } from "../protocol/openai/mod.ts";

/** Describes the tokens of one answer, in their order. */
export function createTokenReporter(tokenizer: Tokenizer): (token: TextToken) => TokenReport {
  const placer = new Placer();
  return (token) => {
    const described = describeToken(tokenizer, token);
    const isSkipped = tokenizer.decode([token.token], { skipSpecial: true }) === "";
    const offset = placer.place(isSkipped ? [] : described.bytes);
    return { ...described, offset, top: token.top.map((other) => describeToken(tokenizer, other)) };
  };
}

/** Keeps account of where tokens begin in the text that their bytes become, in UTF-16 units. */
class Placer {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #length = 0;

  /** Where the next token begins, or the character that it goes on with. */
  place(bytes: readonly number[]): number {
    const [first, ...rest] = bytes;
    if (first === undefined) return this.#length;
    const text = this.#push([first]);
    // A character left unfinished before it shows as U+FFFD now: two in all, or one and a character that begins.
    const begins = first >= 0xc2 && first <= 0xf4;
    const isAfterUnfinished = text.startsWith("\uFFFD") && (text.length > 1 || begins);
    const offset = this.#length + (isAfterUnfinished ? 1 : 0);
    this.#length += text.length + this.#push(rest).length;
    return offset;
  }

  #push(bytes: readonly number[]): string {
    return this.#decoder.decode(Uint8Array.from(bytes), { stream: true });
  }
}

function describeToken(tokenizer: Tokenizer, { token, logprob }: TokenLogprob): TokenAlternative {
  const bytes = tokenizer.tokenBytes(token);
  return { text: spellingOf(bytes), bytes: [...bytes], logprob };
}

/** The text of whole characters; anything else byte by byte, so that it can be told from every other token. */
function spellingOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}
