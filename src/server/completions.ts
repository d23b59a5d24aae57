/** A request from its body to its answer. */

import { at, ClawError } from "../base/mod.ts";
import {
  defaultSampling,
  type SamplingParameters,
  type TextRequest,
  type TokenGenerator,
} from "../engine/mod.ts";
import { encodePieces, plainStops } from "../model/mod.ts";
import {
  type AnswerParameters,
  type AnswerPiece,
  type ChatRequest,
  type CompletionRequest,
  chatFormat,
  completionFormat,
  type ResponseFormat,
  type ResponseHead,
  readChatRequest,
  readCompletionRequest,
  type TokenReport,
} from "../protocol/openai/mod.ts";
import type { RequestAccount } from "./account.ts";
import type { Admission } from "./admission.ts";
import { generateAnswers, type Piece } from "./answers.ts";
import type { Caller } from "./keys.ts";
import type { ServedModel, ServedModels } from "./models.ts";
import { checkLengths, checkTexts } from "./prompts.ts";

/** What is not the request's to decide, handed in so that everything else is a function of the request. */
export interface Surroundings {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A seed for a request that has none: 53 random bits. */
  readonly randomSeed: () => number;
  /** Letters and digits that no other request has. */
  readonly randomId: () => string;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
  /** Calls back after so many milliseconds, unless what it returns is called before. */
  readonly timeout: (milliseconds: number, expire: () => void) => () => void;
}

/** Either the whole answer or a stream of chunks, each an object for JSON. */
export type Response =
  | { readonly type: "whole"; readonly body: object }
  | { readonly type: "stream"; readonly chunks: AsyncIterable<object> };

interface Tokenized {
  readonly prompts: readonly Int32Array[];
  /** The day that went into them, if one may have. */
  readonly date: string | undefined;
}

/** What tells one kind of request from another. */
export interface Kind<R extends AnswerParameters> {
  readonly format: ResponseFormat;
  read(body: unknown): R;
  /** The prompts' tokens. `today` is the day as YYYY-MM-DD. Errors: E_CONTEXT, E_TEMPLATE. */
  tokenize(request: R, model: ServedModel, today: string): Tokenized;
  /** Stop strings that the request need not name. */
  stops(model: ServedModel): readonly string[];
}

export const chat: Kind<ChatRequest> = {
  format: chatFormat,
  read: readChatRequest,
  tokenize: ({ messages, date: wanted }, model, today) => {
    const date = wanted ?? today;
    checkTexts(
      messages.map(({ content }) => content),
      model,
    );
    // The day alone, at its midnight in UTC: a template that shows the time of day could not be answered again.
    const pieces = model.template.render(messages, { addGenerationPrompt: true, now: new Date(date) });
    checkTexts(
      pieces.map(({ text }) => text),
      model,
    );
    return { prompts: [encodePieces(model.tokenizer, pieces)], date };
  },
  stops: ({ template }) => (template.source === "plain" ? plainStops : []),
};

export const completion: Kind<CompletionRequest> = {
  format: completionFormat,
  read: readCompletionRequest,
  tokenize: ({ prompts }, model) => {
    const tokensOf = (prompt: (typeof prompts)[number]): Int32Array => {
      if (typeof prompt !== "string") return Int32Array.from(prompt);
      checkTexts([prompt], model);
      return encodePieces(model.tokenizer, [{ text: prompt, special: true }]);
    };
    return { prompts: prompts.map(tokensOf), date: undefined };
  },
  stops: () => [],
};

/** Who asks. */
export interface Asker {
  /** The request's id. */
  readonly id: string;
  readonly account: RequestAccount;
  /** Ends the answer when it is aborted. */
  readonly signal: AbortSignal;
  /** What the answer may take in all, in milliseconds. */
  readonly timeoutMs: number;
  /** Refuses a model that the asker may not use; undefined: any may be used. */
  readonly admit?: ((model: ServedModel) => Promise<void>) | undefined;
}

interface CompletionsOptions {
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  readonly admission: Admission;
}

export class Completions {
  readonly #options: CompletionsOptions;

  constructor(options: CompletionsOptions) {
    this.#options = options;
  }

  /** Answers one request. Errors before the first token are thrown, later ones end the chunks. */
  async handle<R extends AnswerParameters>(kind: Kind<R>, body: unknown, asker: Asker): Promise<Response> {
    const { models, surroundings } = this.#options;
    const { now, randomSeed, randomId } = surroundings;
    const request = kind.read(body);
    const model = models.find(request.model);
    await asker.admit?.(model);
    const { prompts, date } = kind.tokenize(request, model, dayOf(now()));
    checkLengths(prompts, { context: model.context, maxTokens: request.maxTokens });
    const sampling = samplingOf(request, request.seed ?? randomSeed());
    const jobs = answerJobs(prompts, { request, sampling, model, stops: kind.stops(model) });
    const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    const priority = priorityOf(request, asker.account.caller);
    asker.account.model = model.id;
    asker.account.promptTokens = promptTokens;
    asker.account.answers = jobs.length;
    const pieces = await begun(this.#generate(jobs, { ...model, priority }, asker));
    const head: ResponseHead = {
      id: `${kind.format.idPrefix}-${randomId()}`,
      created: Math.floor(now() / 1000),
      model: model.id,
      fingerprint: model.fingerprint,
      seed: sampling.seed,
      date,
    };
    const answer = { head, format: kind.format, pieces, answers: jobs.length, promptTokens };
    if (!request.stream) return { type: "whole", body: await collect(answer) };
    return { type: "stream", chunks: chunksOf(answer, request.includeUsage) };
  }

  /** The pieces of all answers, as they come. Errors: E_OVERLOADED, E_DEADLINE, E_CANCELLED, those of the engine. */
  async *#generate(
    jobs: readonly TextRequest[],
    { generator, recorder, tokenizer, priority }: ServedModel & { readonly priority: number },
    { id, account, signal, timeoutMs }: Asker,
  ): AsyncGenerator<Piece, void, void> {
    const { admission, surroundings } = this.#options;
    const leave = admission.enter(jobs.length);
    const { lease } = account;
    const late = new AbortController();
    const inTime = surroundings.timeout(timeoutMs, () => late.abort());
    const over = (): void => {
      leave();
      inTime();
    };
    // A stream whose client left may never be read to its end.
    signal.addEventListener("abort", over, { once: true });
    const own: TokenGenerator = {
      // In the engine larger numbers come first.
      generate: (asked) =>
        generator.generate({
          ...asked,
          tenant: account.caller?.tenant,
          priority: 0 - priority,
          deadlineMs: timeoutMs,
        }),
    };
    const owner = {
      request: id,
      tenant: account.caller?.tenant ?? "",
      revocations: account.revocationIds,
    };
    const source = {
      generator: () => recorder?.record(own, owner) ?? own,
      tokenizer,
      signal: AbortSignal.any([signal, late.signal, ...(lease ? [lease.signal] : [])]),
    };
    try {
      lease?.spend(account.promptTokens);
      for await (const piece of generateAnswers(jobs, source)) {
        if (piece.drawn > 0) lease?.spend(piece.drawn);
        account.piece(piece);
        yield piece;
      }
    } catch (error) {
      if (lease?.signal.aborted && !signal.aborted) throw lease.signal.reason;
      if (!late.signal.aborted || signal.aborted) throw error;
      throw new ClawError("E_DEADLINE", `The request was not done in ${timeoutMs / 1000} seconds.`);
    } finally {
      over();
    }
  }
}

/** How urgent a request is; lower numbers come first. Errors: E_PARAMETER where the key may not ask for that. */
function priorityOf({ priority }: AnswerParameters, caller: Caller | undefined): number {
  const least = caller?.priorityMin ?? 0;
  if (priority === undefined) return Math.max(0, least);
  if (priority >= least) return priority;
  throw new ClawError("E_PARAMETER", `The priority is ${priority}; this key may ask for ${least} at least.`, {
    param: "priority",
  });
}

/** In UTC, as YYYY-MM-DD. */
function dayOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}

function samplingOf(request: AnswerParameters, seed: number): SamplingParameters {
  const usual = defaultSampling;
  return {
    temperature: request.temperature ?? usual.temperature,
    topK: request.topK ?? usual.topK,
    topP: request.topP ?? usual.topP,
    minP: request.minP ?? usual.minP,
    repetitionPenalty: request.repetitionPenalty ?? usual.repetitionPenalty,
    repetitionWindow: request.repetitionWindow ?? usual.repetitionWindow,
    frequencyPenalty: request.frequencyPenalty ?? usual.frequencyPenalty,
    presencePenalty: request.presencePenalty ?? usual.presencePenalty,
    logitBias: request.logitBias,
    logprobs: request.logprobs,
    seed,
    choice: 0,
  };
}

interface JobOptions {
  readonly request: AnswerParameters;
  readonly sampling: SamplingParameters;
  readonly model: ServedModel;
  readonly stops: readonly string[];
}

/** `choices` answers to each prompt, prompt by prompt; the same ones as if each prompt had come alone. */
function answerJobs(
  prompts: readonly Int32Array[],
  { request, sampling, model, stops }: JobOptions,
): TextRequest[] {
  return prompts.flatMap((prompt) =>
    Array.from({ length: request.choices }, (_, choice) => ({
      prompt,
      maxTokens: request.maxTokens ?? model.context - prompt.length,
      sampling: { ...sampling, choice },
      stopStrings: [...request.stopStrings, ...stops],
      stopTokens: request.stopTokens,
      ignoreEnd: request.ignoreEnd,
      adapter: model.adapter?.digest,
    })),
  );
}

/** Waits for the first piece, so that what is refused before it gets an HTTP status of its own. */
async function begun(pieces: AsyncGenerator<Piece, void, void>): Promise<AsyncIterable<Piece>> {
  const first = await pieces.next();
  return (async function* () {
    if (first.done) return;
    yield first.value;
    yield* pieces;
  })();
}

interface Answer {
  readonly head: ResponseHead;
  readonly format: ResponseFormat;
  readonly pieces: AsyncIterable<Piece>;
  /** How many answers the pieces make. */
  readonly answers: number;
  readonly promptTokens: number;
}

async function collect({ head, format, pieces, answers, promptTokens }: Answer): Promise<object> {
  const whole = Array.from({ length: answers }, (_, index) => ({
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
  return format.whole(head, said, { promptTokens, completionTokens });
}

async function* chunksOf(
  { head, format, pieces, answers, promptTokens }: Answer,
  includeUsage: boolean,
): AsyncGenerator<object, void, void> {
  // OpenAI's streams that count tokens say so in every chunk.
  const finished = (chunk: object): object => (includeUsage ? { usage: null, ...chunk } : chunk);
  for (let index = 0; index < answers; index++) {
    const opening = format.opening(head, index);
    if (opening !== undefined) yield finished(opening);
  }
  let completionTokens = 0;
  for await (const { drawn, ...piece } of pieces) {
    completionTokens += drawn;
    const says = piece.text !== "" || piece.finish !== null || (piece.tokens?.length ?? 0) > 0;
    if (says) yield finished(format.chunk(head, piece));
  }
  if (includeUsage) yield format.count(head, { promptTokens, completionTokens });
}
