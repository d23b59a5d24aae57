/** Several answers generated at once and reported piece by piece. */

import {
  abortable,
  generateText,
  type TextEvent,
  type TextRequest,
  type TokenGenerator,
} from "../engine/mod.ts";
import type { Tokenizer } from "../model/mod.ts";
import type { AnswerPiece } from "../protocol/openai/mod.ts";
import { createTokenReporter } from "./reports.ts";

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

/** What a source came to: a value or its end, or why it failed. */
type Arrival<T> =
  | { readonly index: number; readonly result: IteratorResult<T, void> }
  | { readonly index: number; readonly thrown: unknown };

/**
 * Whatever comes next from any of the sources, with its place among them. All of them put what they have into one queue
 * with one waiter: a race would leave a reaction on every slow source for each value of a fast one.
 */
async function* merge<T>(
  sources: readonly AsyncIterator<T, void>[],
): AsyncGenerator<readonly [number, T], void, void> {
  const arrived: Arrival<T>[] = [];
  let wake = (): void => {};
  const arrive = (arrival: Arrival<T>): void => {
    arrived.push(arrival);
    wake();
  };
  const pull = (index: number): void => {
    const next = sources[index]?.next();
    next?.then(
      (result) => arrive({ index, result }),
      (thrown: unknown) => arrive({ index, thrown }),
    );
  };
  for (const index of sources.keys()) pull(index);
  for (let open = sources.length; open > 0; ) {
    const arrival = arrived.shift();
    if (arrival === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    if ("thrown" in arrival) throw arrival.thrown;
    if (arrival.result.done) {
      open--;
      continue;
    }
    pull(arrival.index);
    yield [arrival.index, arrival.result.value];
  }
}

/** Turns an answer's events into pieces. */
function createReporter(
  tokenizer: Tokenizer,
  { index, logprobs }: { readonly index: number; readonly logprobs: boolean },
): (event: TextEvent) => Piece {
  const report = createTokenReporter(tokenizer);
  return ({ text, token, finish = null }) => {
    const drawn = token === undefined ? [] : [token];
    return { index, text, tokens: logprobs ? drawn.map(report) : undefined, finish, drawn: drawn.length };
  };
}
