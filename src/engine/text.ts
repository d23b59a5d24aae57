/** Text from tokens: streaming detokenization, stop strings, and how an answer ended. */

import type { Tokenizer } from "../model/mod.ts";
import type { TokenGenerator } from "./client.ts";
import type { FinishReason, TokenEvent } from "./request.ts";
import type { SamplingParameters, TokenLogprob } from "./sampling/mod.ts";
import { StopStrings } from "./stop-strings.ts";

export interface TextRequest {
  readonly prompt: Int32Array;
  readonly maxTokens: number;
  readonly sampling: SamplingParameters;
  /** Strings that end the answer and are not part of it. */
  readonly stopStrings: readonly string[];
  /** Tokens that end the answer beside the model's own. */
  readonly stopTokens: readonly number[];
  /** Goes on past the model's own end tokens. */
  readonly ignoreEnd?: boolean | undefined;
  /** The digest of an adapter; undefined: the model alone. */
  readonly adapter?: string | undefined;
}

/** What was added to an answer. A token's text may come later than the token: characters and stops are held back. */
export interface TextEvent {
  readonly text: string;
  /** The token drawn, with its log-probabilities if they were asked for; undefined when only held-back text comes. */
  readonly token: TextToken | undefined;
  /** Set on the last event. */
  readonly finish: FinishReason | undefined;
}

export interface TextToken extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** Generates text. The last event carries `finish`; leaving the iteration early cancels the request. */
export async function* generateText(
  generator: TokenGenerator,
  tokenizer: Tokenizer,
  request: TextRequest,
): AsyncGenerator<TextEvent, void, void> {
  const ends = request.ignoreEnd ? [] : [...tokenizer.endTokens];
  const stopTokens = [...new Set([...ends, ...request.stopTokens])];
  const { prompt, maxTokens, sampling, adapter } = request;
  const detokenizer = tokenizer.detokenizer({ skipSpecial: true });
  const stops = new StopStrings(request.stopStrings);
  for await (const event of generator.generate({ prompt, maxTokens, sampling, stopTokens, adapter })) {
    const stopped = event.finish === "stop";
    const fresh = stopped ? detokenizer.end() : detokenizer.push(event.token);
    const last = event.finish === undefined || stopped ? "" : detokenizer.end();
    const text = stops.push(fresh + last);
    const finish = stops.found ? "stop" : event.finish;
    const held = finish === undefined || stops.found ? "" : stops.end();
    yield { text: text + held, token: textToken(event), finish };
    if (finish !== undefined) return;
  }
}

function textToken({ token, logprob, top }: TokenEvent): TextToken {
  return { token, logprob: logprob ?? Number.NaN, top };
}
