/** Several answers generated at once and reported piece by piece. */

import type { Recording } from "../audit/mod.ts";
import {
  abortable,
  generateText,
  type TextEvent,
  type TextRequest,
  type TokenGenerator,
} from "../engine/mod.ts";
import type { Tokenizer } from "../model/mod.ts";
import type { AnswerPiece, AnswerRecord } from "../protocol/openai/mod.ts";
import { createTokenReporter } from "./reports.ts";

export interface AnswerSource {
  /** Generates the answer to a request and, where it is recorded, says where. */
  readonly generator: (index: number) => TokenGenerator & Partial<Pick<Recording, "closed">>;
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
  const ended = AbortSignal.any([signal, left.signal]);
  const streams = requests.map((request, index) => {
    const own = generator(index);
    const events = generateText(abortable(own, ended), tokenizer, request);
    return own.closed === undefined ? events : withRecord(events, own.closed);
  });
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

interface RecordedEvent extends TextEvent {
  readonly record?: AnswerRecord;
}

/** Holds back an answer's last event until its record is durable, and says there where it is. */
async function* withRecord(
  events: AsyncIterable<TextEvent>,
  closed: Recording["closed"],
): AsyncGenerator<RecordedEvent, void, void> {
  let last: TextEvent | undefined;
  for await (const event of events) {
    last = event;
    // Leaving ends the stream, also where a stop string was found before the engine's last token.
    if (event.finish !== undefined) break;
    yield event;
  }
  if (last?.finish === undefined) return;
  yield { ...last, record: await closed };
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
): (event: RecordedEvent) => Piece {
  const report = createTokenReporter(tokenizer);
  return ({ text, token, finish = null, record }) => {
    const drawn = token === undefined ? [] : [token];
    const tokens = logprobs ? drawn.map(report) : undefined;
    return { index, text, tokens, finish, record, drawn: drawn.length };
  };
}
