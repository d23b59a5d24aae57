/** Several answers generated at once and reported piece by piece. */

import { ClawError } from "../base/mod.ts";
import {
  generateText,
  type TextEvent,
  type TextRequest,
  type TextToken,
  type TokenGenerator,
  type TokenLogprob,
} from "../engine/mod.ts";
import type { Tokenizer } from "../model/mod.ts";
import type { AnswerPiece, TokenAlternative, TokenReport } from "../protocol/openai/mod.ts";

export interface AnswerSource {
  readonly generator: TokenGenerator;
  readonly tokenizer: Tokenizer;
  /** Ends all answers when it is aborted. */
  readonly signal: AbortSignal;
}

/** What was added to one answer by one token. */
export interface Piece extends AnswerPiece {
  /** Tokens drawn for it: 1, or 0 where only text that was held back comes. */
  readonly drawn: number;
}

/**
 * Generates an answer to each request; pieces come as they are drawn, and the last one of each answer has `finish`.
 * Leaving the iteration cancels all answers. Errors: those of the engine; E_CANCELLED when `signal` was aborted.
 */
export async function* generateAnswers(
  requests: readonly TextRequest[],
  { generator, tokenizer, signal }: AnswerSource,
): AsyncGenerator<Piece, void, void> {
  const left = new AbortController();
  const cancellable = abortable(generator, AbortSignal.any([signal, left.signal]));
  const streams = requests.map((request) => generateText(cancellable, tokenizer, request));
  const reporters = requests.map(({ sampling }, index) =>
    createReporter(tokenizer, { index, logprobs: sampling.logprobs !== undefined }),
  );
  try {
    for await (const [index, event] of merge(streams)) {
      const report = reporters[index];
      if (report !== undefined) yield report(event);
    }
  } finally {
    left.abort();
  }
}

/** The same generator, whose streams end at once when `signal` is aborted, also while they wait for a token. */
function abortable(generator: TokenGenerator, signal: AbortSignal): TokenGenerator {
  return {
    async *generate(request) {
      if (signal.aborted) throw cancelled();
      const stream = generator.generate(request)[Symbol.asyncIterator]();
      const leave = (): void => void stream.return?.();
      signal.addEventListener("abort", leave, { once: true });
      try {
        yield* { [Symbol.asyncIterator]: () => stream };
      } finally {
        signal.removeEventListener("abort", leave);
      }
      if (signal.aborted) throw cancelled();
    },
  };
}

function cancelled(): ClawError {
  return new ClawError("E_CANCELLED", "The request was cancelled.");
}

/** Whatever comes next from any of the sources, with its place among them. */
async function* merge<T>(sources: readonly AsyncIterator<T>[]): AsyncGenerator<readonly [number, T]> {
  const pull = async (index: number, source: AsyncIterator<T>) => ({
    index,
    source,
    result: await source.next(),
  });
  const pending = new Map(sources.map((source, index) => [index, pull(index, source)]));
  // One source may fail while another one's piece is being read; the race below will meet the failure.
  for (const next of pending.values()) next.catch(() => {});
  while (pending.size > 0) {
    const { index, source, result } = await Promise.race(pending.values());
    if (result.done) {
      pending.delete(index);
      continue;
    }
    const next = pull(index, source);
    next.catch(() => {});
    pending.set(index, next);
    yield [index, result.value];
  }
}

/** Turns an answer's events into pieces; it remembers how long the text of the tokens is. */
function createReporter(
  tokenizer: Tokenizer,
  { index, logprobs }: { readonly index: number; readonly logprobs: boolean },
): (event: TextEvent) => Piece {
  let offset = 0;
  const report = (token: TextToken): TokenReport => {
    const described = describeToken(tokenizer, token);
    const top = token.top.map((other) => describeToken(tokenizer, other));
    const reported = { ...described, offset, top };
    offset += described.text.length;
    return reported;
  };
  return ({ text, token, finish = null }) => {
    const drawn = token === undefined ? [] : [token];
    return { index, text, tokens: logprobs ? drawn.map(report) : undefined, finish, drawn: drawn.length };
  };
}

function describeToken(tokenizer: Tokenizer, { token, logprob }: TokenLogprob): TokenAlternative {
  return { text: tokenizer.decode([token]), bytes: [...tokenizer.tokenBytes(token)], logprob };
}
