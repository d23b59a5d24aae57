/** From pieces of answers to what clients are sent: one body, or the chunks of a stream. */

import { at } from "../base/mod.ts";
import type { AnswerPiece, TokenReport } from "../protocol/openai/mod.ts";
import type { Piece } from "./answers.ts";
import { kinds } from "./kinds.ts";
import { answersOf, type Order, promptTokensOf } from "./orders.ts";

/** Of a stream: an object for JSON, and the answer that it belongs to. */
export interface Chunk {
  readonly choice: number;
  readonly body: object;
}

export async function collect(order: Order, pieces: AsyncIterable<Piece>): Promise<object> {
  const { kind, head } = order;
  const promptTokens = promptTokensOf(order);
  const whole = Array.from({ length: answersOf(order) }, (_, index) => ({
    index,
    texts: [] as string[],
    tokens: undefined as TokenReport[] | undefined,
    finish: null as AnswerPiece["finish"],
    record: undefined as AnswerPiece["record"],
  }));
  let completionTokens = 0;
  for await (const { index, text, tokens, finish, record, drawn } of pieces) {
    completionTokens += drawn;
    const answer = at(whole, index);
    answer.texts.push(text);
    if (tokens !== undefined) {
      answer.tokens ??= [];
      answer.tokens.push(...tokens);
    }
    answer.finish = finish;
    answer.record = record;
  }
  const said = whole.map(({ texts, ...answer }) => ({ ...answer, text: texts.join("") }));
  return kinds[kind].format.whole(head, said, { promptTokens, completionTokens });
}

/** What follows from one answer's tokens stands in that answer's chunks; the count of all tokens, in answer 0. */
export async function* chunksOf(
  order: Order,
  pieces: AsyncIterable<Piece>,
): AsyncGenerator<Chunk, void, void> {
  const { kind, head, includeUsage } = order;
  const { format } = kinds[kind];
  // OpenAI's streams that count tokens say so in every chunk.
  const finished = (chunk: object): object => (includeUsage ? { usage: null, ...chunk } : chunk);
  for (let choice = 0; choice < answersOf(order); choice++) {
    const opening = format.opening(head, choice);
    if (opening !== undefined) yield { choice, body: finished(opening) };
  }
  let completionTokens = 0;
  for await (const { drawn, ...piece } of pieces) {
    completionTokens += drawn;
    const says = piece.text !== "" || piece.finish !== null || (piece.tokens?.length ?? 0) > 0;
    if (says) yield { choice: piece.index, body: finished(format.chunk(head, piece)) };
  }
  const promptTokens = promptTokensOf(order);
  if (includeUsage) yield { choice: 0, body: format.count(head, { promptTokens, completionTokens }) };
}
