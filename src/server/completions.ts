/** A request from its body to its answer. */

import { ClawError } from "../base/mod.ts";
import type { TokenGenerator } from "../engine/mod.ts";
import type { AnswerParameters } from "../protocol/openai/mod.ts";
import type { RequestAccount } from "./account.ts";
import type { Admission } from "./admission.ts";
import { generateAnswers, type Piece } from "./answers.ts";
import { type Kind, kinds } from "./kinds.ts";
import type { ServedModel, ServedModels } from "./models.ts";
import { type Order, orderOf } from "./orders.ts";
import { type Chunk, chunksOf, collect } from "./rendering.ts";
import type { KeptStream, KeptStreams, StreamOwner } from "./streams/mod.ts";

/** What is not the request's to decide, handed in so that everything else is a function of the request. */
export interface Surroundings {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A seed for a request that has none: 53 random bits. */
  readonly randomSeed: () => number;
  /** Letters and digits that no other request has, and nobody guesses. */
  readonly randomId: () => string;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
  /** Calls back after so many milliseconds, unless what it returns is called before. */
  readonly timeout: (milliseconds: number, expire: () => void) => () => void;
}

/** The whole answer, a stream of chunks, or one that is kept for its client. */
export type Response =
  | { readonly type: "whole"; readonly body: object }
  | { readonly type: "stream"; readonly chunks: AsyncIterable<Chunk> }
  | { readonly type: "kept"; readonly stream: KeptStream };

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
  /** The error for clients of what the answer failed with. */
  readonly report: (thrown: unknown) => ClawError;
  /** Told when a kept stream is drawn no more: its account is over. */
  readonly onEnd: (attended: boolean) => void;
}

interface CompletionsOptions {
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  readonly admission: Admission;
  readonly streams: KeptStreams;
}

export class Completions {
  readonly #options: CompletionsOptions;

  constructor(options: CompletionsOptions) {
    this.#options = options;
  }

  /** Answers one request. Errors before the first token are thrown, later ones end the chunks. */
  async handle<R extends AnswerParameters>(kind: Kind<R>, body: unknown, asker: Asker): Promise<Response> {
    const { models, surroundings, streams } = this.#options;
    const { account } = asker;
    const request = kind.read(body);
    const model = models.find(request.model);
    await asker.admit?.(model);
    const now = surroundings.now();
    const order = orderOf(request, { ...surroundings, kind, model, caller: account.caller, now });
    account.model = model.id;
    account.promptTokens = order.promptTokens;
    account.answers = order.jobs.length;
    if (request.stream && streams.keeps(request.resumable)) {
      return { type: "kept", stream: await this.#keep(order, model, asker) };
    }
    const pieces = await begun(this.#generate(order, model, asker));
    if (!request.stream) return { type: "whole", body: await collect(order, pieces) };
    return { type: "stream", chunks: chunksOf(order, pieces) };
  }

  /** A stream that goes on without its client, once its first token is there. */
  async #keep(order: Order, model: ServedModel, asker: Asker): Promise<KeptStream> {
    const { account, signal, report, onEnd } = asker;
    const cancel = new AbortController();
    const left = (): void => cancel.abort(new ClawError("E_CANCELLED", "The client left."));
    signal.addEventListener("abort", left);
    const pieces = await begun(this.#generate(order, model, { ...asker, signal: cancel.signal }));
    signal.removeEventListener("abort", left);
    account.outlivesConnection = true;
    return this.#options.streams.keep({
      id: order.head.id,
      owner: ownerOf(account),
      endpoint: kinds[order.kind].endpoint,
      model,
      choices: order.jobs.length,
      chunks: chunksOf(order, pieces),
      ...{ cancel, report, onEnd },
    });
  }

  /** The pieces of all answers, as they come. Errors: E_OVERLOADED, E_DEADLINE, E_CANCELLED, those of the engine. */
  async *#generate(
    { jobs, priority }: Order,
    { generator, recorder, tokenizer }: ServedModel,
    { id, account, signal, timeoutMs }: Omit<Asker, "report" | "onEnd">,
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
    const { tenant, revocationIds: revocations } = ownerOf(account);
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
    const source = {
      generator: () => recorder?.record(own, { request: id, tenant, revocations }) ?? own,
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

/** Whose a request's stream is. */
export function ownerOf({ caller, revocationIds }: RequestAccount): StreamOwner {
  return { tenant: caller?.tenant ?? "", revocationIds };
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
