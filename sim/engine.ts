/**
 * The engine of a simulated server, which alone is no part of the product: as with exact inference, an answer's next token is a
 * function of the request and of the tokens before it, whoever draws it, and when.
 */

import {
  type GenerationRequest,
  type TokenEvent,
  type TokenGenerator,
  TokenStream,
} from "../src/engine/mod.ts";
import type { Tokenizer } from "../src/model/mod.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Random } from "./random.ts";

/** Ends an answer, and has no text. */
const END_TOKEN = 2;
const TOKEN_MIN = 10;
const TOKENS = 5000;
/** One token in so many is the end. */
const END_IN = 200;

/** What decides an answer's tokens. */
export type Asked = Pick<GenerationRequest, "prompt" | "maxTokens"> & {
  readonly sampling: Pick<GenerationRequest["sampling"], "seed" | "choice" | "logprobs">;
};

/** The tokens of one answer, one after the other. */
export class Drawing {
  readonly #asked: Asked;
  #state: number;
  #count = 0;

  constructor(asked: Asked) {
    const { prompt, sampling } = asked;
    this.#asked = asked;
    this.#state = [...prompt, sampling.seed, sampling.choice].reduce(mixed, 1);
  }

  /** How many there are so far. */
  get count(): number {
    return this.#count;
  }

  /** A token that somebody else has drawn. */
  take(token: number): void {
    this.#state = mixed(this.#state, token);
    this.#count++;
  }

  next(): TokenEvent {
    const chance = mixed(this.#state, 1);
    const token = chance % END_IN === 0 ? END_TOKEN : TOKEN_MIN + (chance % TOKENS);
    this.take(token);
    const length = this.#count === this.#asked.maxTokens ? "length" : undefined;
    const finish = token === END_TOKEN ? "stop" : length;
    if (this.#asked.sampling.logprobs === undefined) return { token, logprob: undefined, top: [], finish };
    const top = [token, TOKEN_MIN + (chance % 7)].map((id) => ({ token: id, logprob: -(id % 64) / 8 }));
    return { token, logprob: -(token % 64) / 8, top, finish };
  }
}

/** 32 bits of both. */
function mixed(state: number, value: number): number {
  const once = Math.imul(state ^ (value + 0x9e3779b9), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
  return (twice ^ (twice >>> 16)) >>> 0;
}

/** What an answer's token adds to its text. */
export function textOf(token: number): string {
  return token === END_TOKEN ? "" : ` ${token}`;
}

export interface EngineOptions {
  readonly process: SimulatedProcess;
  readonly random: Random;
  /** Told of each token that is drawn: of which answer, and how many the answer has then. */
  readonly onToken: (asked: Asked, count: number) => void;
  /** Whether it draws other tokens at the moment than all others would. */
  readonly differs: () => boolean;
}

export class SimulatedEngine implements TokenGenerator {
  readonly #options: EngineOptions;
  /** On the process's clock: there is nothing to compute with before. */
  #awayUntil = 0;
  /** Answers that another server was seen to draw. */
  expected = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** The runtime is lost; what was in it goes on after so many milliseconds. */
  lose(milliseconds: number): void {
    this.#awayUntil = this.#options.process.clock + milliseconds;
  }

  expect(): void {
    this.expected++;
  }

  generate(request: GenerationRequest): AsyncIterable<TokenEvent> {
    const { process, random, onToken, differs } = this.#options;
    const drawing = new Drawing(request);
    for (const token of request.drawn ?? []) drawing.take(token);
    let cancel = (): void => {};
    const stream = new TokenStream(() => cancel());
    const step = (): void => {
      const away = this.#awayUntil - process.clock;
      if (away > 0) {
        cancel = process.after(away, step);
        return;
      }
      // Several at once, as where drafts were right.
      for (let rest = 1 + random.below(3); rest > 0; rest--) {
        const event = drawing.next();
        onToken(request, drawing.count);
        stream.push(differs() && event.finish === undefined ? { ...event, token: event.token + 1 } : event);
        if (event.finish !== undefined) return;
      }
      cancel = process.after(random.between(20, 150), step);
    };
    cancel = process.after(random.between(5, 60) + drawing.count, step);
    return stream;
  }
}

/** A vocabulary of numbers. */
export const tokenizer: Tokenizer = {
  kind: "bpe",
  vocabularySize: TOKEN_MIN + TOKENS,
  ...{ bos: undefined, eos: END_TOKEN, addBos: false, endTokens: new Set([END_TOKEN]), controlSpellings: [] },
  encode: () => new Int32Array(),
  decode: (ids) => Array.from(ids, textOf).join(""),
  tokenBytes: (id) => Buffer.from(textOf(id)),
  tokenText: textOf,
  isControl: (id) => id === END_TOKEN,
  detokenizer: () => ({ push: textOf, end: () => "" }),
};
