/** The responses of OpenAI's API: whole answers and the chunks of a stream, from pieces of answers. */

/** A token of an answer with its log-probability. */
export interface TokenReport extends TokenAlternative {
  /** Where its text, or the character that it is a part of, begins in the answer, in UTF-16 units. */
  readonly offset: number;
  /** The likeliest tokens at its place, likeliest first. */
  readonly top: readonly TokenAlternative[];
}

export interface TokenAlternative {
  /** What it adds to the text; bytes that are no whole characters are spelled `bytes:\xe2\x82`, as OpenAI does. */
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** What came of one answer: all of it, or what was added to it. */
export interface AnswerPiece {
  /** Which answer of the request. */
  readonly index: number;
  readonly text: string;
  /** Undefined where log-probabilities were not asked for. */
  readonly tokens: readonly TokenReport[] | undefined;
  /** Why the answer ended; null while it has not. */
  readonly finish: "stop" | "length" | null;
  /** Where the answer stands in the ledger; set on what ends it, where answers are recorded. */
  readonly record?: AnswerRecord | undefined;
}

export interface AnswerRecord {
  readonly entry: number;
  /** In hexadecimal. */
  readonly leafHash: string;
}

/** What every response of a request says. */
export interface ResponseHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  /** What computes the answer, as far as it could change the answer. */
  readonly fingerprint: string;
  /** What a request needs to be answered the same again: the seed, and the day that its chat template was told. */
  readonly seed: number;
  readonly date: string | undefined;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** How one kind of request is answered. The objects are what JSON clients see. */
export interface ResponseFormat {
  /** What a request's id begins with. */
  readonly idPrefix: string;
  whole(head: ResponseHead, answers: readonly AnswerPiece[], usage: Usage): object;
  /** What a stream begins each answer with, if anything. */
  opening(head: ResponseHead, index: number): object | undefined;
  chunk(head: ResponseHead, piece: AnswerPiece): object;
  /** What a stream that counts its tokens ends with. */
  count(head: ResponseHead, usage: Usage): object;
}

export const chatFormat: ResponseFormat = {
  idPrefix: "chatcmpl",
  whole: (head, answers, usage) => {
    const choices = answers.map(({ index, text, tokens, finish }) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: chatLogprobs(tokens),
      finish_reason: finish,
    }));
    return { ...headFields(head, "chat.completion", answers), choices, usage: usageFields(usage) };
  },
  opening: (head, index) => {
    const delta = { role: "assistant", content: "", refusal: null };
    const choices = [{ index, delta, logprobs: null, finish_reason: null }];
    return { ...headFields(head, "chat.completion.chunk"), choices };
  },
  chunk: (head, piece) => {
    const { index, text, tokens, finish } = piece;
    const delta = text === "" && finish !== null ? {} : { content: text };
    const choices = [{ index, delta, logprobs: chatLogprobs(tokens), finish_reason: finish }];
    return { ...headFields(head, "chat.completion.chunk", [piece]), choices };
  },
  count: (head, usage) => {
    return { ...headFields(head, "chat.completion.chunk"), choices: [], usage: usageFields(usage) };
  },
};

export const completionFormat: ResponseFormat = {
  idPrefix: "cmpl",
  whole: (head, answers, usage) => {
    const choices = answers.map(completionChoice);
    return { ...headFields(head, "text_completion", answers), choices, usage: usageFields(usage) };
  },
  opening: () => undefined,
  chunk: (head, piece) => {
    const choices = [completionChoice(piece)];
    return { ...headFields(head, "text_completion", [piece]), choices };
  },
  count: (head, usage) => {
    return { ...headFields(head, "text_completion"), choices: [], usage: usageFields(usage) };
  },
};

/** `pieces`: those whose records are told. */
function headFields(
  { id, created, model, fingerprint, seed, date }: ResponseHead,
  object: string,
  pieces: readonly AnswerPiece[] = [],
): object {
  const records = pieces.flatMap(({ index, record }) =>
    record === undefined ? [] : [{ choice: index, entry: record.entry, leaf_hash: record.leafHash }],
  );
  // JSON leaves out what is undefined.
  const openclaw = { seed, date, records: records.length === 0 ? undefined : records };
  return { id, object, created, model, system_fingerprint: fingerprint, openclaw };
}

function usageFields({ promptTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function chatLogprobs(tokens: readonly TokenReport[] | undefined): object | null {
  if (tokens === undefined) return null;
  const entry = ({ text, bytes, logprob }: TokenAlternative): object => ({ token: text, logprob, bytes });
  const content = tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) }));
  return { content, refusal: null };
}

function completionChoice({ index, text, tokens, finish }: AnswerPiece): object {
  return { text, index, logprobs: completionLogprobs(tokens), finish_reason: finish };
}

function completionLogprobs(tokens: readonly TokenReport[] | undefined): object | null {
  if (tokens === undefined) return null;
  // Of tokens with one spelling the likeliest, which comes first, keeps it.
  const byText = ({ top }: TokenReport): object =>
    Object.fromEntries(top.map(({ text, logprob }) => [text, logprob] as const).reverse());
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(byText),
    text_offset: tokens.map(({ offset }) => offset),
  };
}
