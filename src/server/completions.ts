/** A request from its body to its answer. */

import { asClawError, ClawError } from "../base/mod.ts";
import { continued, observed, type TokenEvent, type TokenGenerator } from "../engine/mod.ts";
import type { AnswerParameters } from "../protocol/openai/mod.ts";
import type { RequestAccount } from "./account.ts";
import type { Admission } from "./admission.ts";
import { generateAnswers, type Piece } from "./answers.ts";
import { type Kind, kinds } from "./kinds.ts";
import { JOURNAL_RETRY_SECONDS } from "./limits.ts";
import type { ServedModel, ServedModels } from "./models.ts";
import { answersOf, jobsOf, type Order, orderOf, promptTokensOf } from "./orders.ts";
import { type Chunk, chunksOf, collect } from "./rendering.ts";
import type { Tenure } from "./streams/mod.ts";
import {
  type JournalCounts,
  JournalledStream,
  type KeptStream,
  type KeptStreams,
  type Opening,
  type StreamJournal,
  type StreamOwner,
  writeOpening,
} from "./streams/mod.ts";

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

/** Who asked, wherever the answer goes. */
export interface Client {
  /** The request's id. */
  readonly id: string;
  readonly account: RequestAccount;
  /** What the answer may take in all, in milliseconds. */
  readonly timeoutMs: number;
  /** The error for clients of what the answer failed with. */
  readonly report: (thrown: unknown) => ClawError;
  /** Told when a kept stream is drawn no more: its account is over. */
  readonly onEnd: (attended: boolean) => void;
  readonly tenure: Tenure;
}

/** Who asks. */
export interface Asker extends Client {
  /** Ends the answer when it is aborted. */
  readonly signal: AbortSignal;
  /** Refuses a model that the asker may not use; undefined: any may be used. */
  readonly admit?: ((model: ServedModel) => Promise<void>) | undefined;
}

/** What another server drew of a stream. */
export interface Inheritance {
  /** The first tokens of each answer, by its number. */
  readonly drawn: ReadonlyMap<number, readonly TokenEvent[]>;
  readonly opening: Opening;
  /** Forgets what others kept of it; called when this server's own part of the journal says as much. */
  readonly retire: () => Promise<void>;
}

interface CompletionsOptions {
  readonly models: ServedModels;
  readonly surroundings: Surroundings;
  readonly admission: Admission;
  readonly streams: KeptStreams;
}

/** How answers are drawn, beside what they are. */
interface Drawing extends Pick<Client, "id" | "account" | "timeoutMs"> {
  readonly signal: AbortSignal;
  readonly drawn?: Inheritance["drawn"] | undefined;
  /** Leaf hashes of the answers' entries of before. */
  readonly continues?: Opening["records"];
  readonly journalled?: JournalledStream | undefined;
  /** Told where each answer's record begins, where answers are recorded. */
  readonly onRecord?: (choice: number, opened: Promise<string>) => void;
}

export class Completions {
  readonly #options: CompletionsOptions;
  readonly journalCounts: JournalCounts = { streams: 0, behind: 0, failures: 0, unjournalled: 0 };

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
    noteOrder(account, order);
    if (request.stream && streams.keeps(request.resumable)) {
      return { type: "kept", stream: await this.#open(order, model, asker) };
    }
    const pieces = await begun(this.#generate(order, model, asker));
    if (!request.stream) return { type: "whole", body: await collect(order, pieces) };
    return { type: "stream", chunks: chunksOf(order, pieces) };
  }

  /** Goes on with a stream of another server. */
  inherit({ client, model, drawn, opening, retire }: Inheritance & Inheriting): KeptStream {
    const { order, records: continues } = opening;
    noteOrder(client.account, order);
    const cancel = new AbortController();
    const journalled = this.#journalled(order, client.tenure.journal);
    const known = [...drawn.values()].reduce((sum, tokens) => sum + tokens.length, 0);
    journalled?.when(known, retire);
    const records = new RecordsOpened(order, model);
    const drawing = { ...client, signal: cancel.signal, drawn, continues, journalled, onRecord: records.add };
    const pieces = this.#generate(order, model, drawing);
    // Until this is written, the journal has what it is inherited from.
    void records.all.then((own) =>
      journalled?.adopt(writeOpening({ ...opening, records: own ?? continues })),
    );
    const kept = {
      leave: () => journalled?.leave(),
      close: () => {
        journalled?.close();
        // Also where it was over before it was written.
        retire().catch(() => this.journalCounts.failures++);
      },
    };
    return this.#keep(order, { client, model, cancel, pieces, journalled: kept, catchesUp: true });
  }

  /** A stream that goes on without its client, once its first token is there and it is kept for other servers, if there are any. */
  async #open(order: Order, model: ServedModel, asker: Asker): Promise<KeptStream> {
    const { signal, tenure } = asker;
    const cancel = new AbortController();
    const left = (): void => cancel.abort(new ClawError("E_CANCELLED", "The client left."));
    signal.addEventListener("abort", left);
    const journalled = this.#journalled(order, tenure.journal);
    try {
      const records = new RecordsOpened(order, model);
      const opened = journalled && this.#journal(journalled, { order, model, asker, records });
      const drawing = { ...asker, signal: cancel.signal, journalled, onRecord: records.add };
      const pieces = begun(this.#generate(order, model, drawing));
      opened?.catch((error) => cancel.abort(error));
      const [first] = await Promise.all([pieces, opened]);
      return this.#keep(order, { client: asker, model, cancel, pieces: first, journalled });
    } catch (error) {
      journalled?.close();
      throw cancel.signal.aborted ? asClawError(cancel.signal.reason) : error;
    } finally {
      signal.removeEventListener("abort", left);
    }
  }

  #journalled({ head }: Order, journal: StreamJournal | undefined): JournalledStream | undefined {
    if (journal === undefined) return undefined;
    const { timeout } = this.#options.surroundings;
    return new JournalledStream({ journal, id: head.id, timeout, counts: this.journalCounts });
  }

  /** Resolves when other servers can go on with a stream, or need not be able to. Errors: E_CONTROL. */
  async #journal(journalled: JournalledStream, { order, model, asker, records }: Journalling): Promise<void> {
    const { id, account, timeoutMs, tenure } = asker;
    const opening = writeOpening({
      order,
      root: await model.root,
      request: id,
      tenant: ownerOf(account).tenant,
      identity: account.lease?.identity,
      records: await records.all,
      openedAt: this.#options.surroundings.now(),
      timeoutMs,
    });
    try {
      await journalled.open(opening);
    } catch (cause) {
      if (tenure.journal?.required !== true) {
        this.journalCounts.unjournalled++;
        return;
      }
      const options = { cause, retryAfterSeconds: JOURNAL_RETRY_SECONDS };
      throw new ClawError("E_CONTROL", "The stream cannot be kept for other servers.", options);
    }
  }

  #keep(order: Order, { client, model, cancel, pieces, journalled, catchesUp = false }: Keeping): KeptStream {
    const { account, report, onEnd } = client;
    account.outlivesConnection = true;
    return this.#options.streams.keep({
      id: order.head.id,
      owner: ownerOf(account),
      endpoint: kinds[order.kind].endpoint,
      model,
      choices: answersOf(order),
      chunks: chunksOf(order, pieces),
      ...{ cancel, report, onEnd, journalled, catchesUp },
    });
  }

  /** The pieces of all answers, as they come. Errors: E_OVERLOADED, E_DEADLINE, E_CANCELLED, those of the engine. */
  async *#generate(order: Order, model: ServedModel, drawing: Drawing): AsyncGenerator<Piece, void, void> {
    const { admission, surroundings } = this.#options;
    const { account, signal, timeoutMs, drawn } = drawing;
    const jobs = jobsOf(order);
    const leave = drawn === undefined ? admission.enter(jobs.length) : admission.adopt(jobs.length);
    const { lease } = account;
    const late = new AbortController();
    const inTime = surroundings.timeout(timeoutMs, () => late.abort());
    const over = (): void => {
      leave();
      inTime();
    };
    // A stream whose client left may never be read to its end.
    signal.addEventListener("abort", over, { once: true });
    const source = {
      generator: generatorsOf(order, model, drawing),
      tokenizer: model.tokenizer,
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

interface Inheriting {
  readonly client: Client;
  readonly model: ServedModel;
}

interface Journalling {
  readonly order: Order;
  readonly model: ServedModel;
  readonly asker: Asker;
  readonly records: RecordsOpened;
}

/** Where the records of all answers begin. */
class RecordsOpened {
  /** In the answers' order; undefined where they are not recorded. */
  readonly all: Promise<readonly string[] | undefined>;
  readonly #resolvers: readonly PromiseWithResolvers<string>[];

  constructor(order: Order, { recorder }: ServedModel) {
    this.#resolvers = Array.from({ length: answersOf(order) }, () => Promise.withResolvers<string>());
    const opened = this.#resolvers.map(({ promise }) => promise);
    this.all = recorder === undefined ? Promise.resolve(undefined) : Promise.all(opened);
  }

  readonly add = (choice: number, opened: Promise<string>): void => this.#resolvers[choice]?.resolve(opened);
}

interface Keeping extends Inheriting {
  readonly cancel: AbortController;
  readonly pieces: AsyncIterable<Piece>;
  readonly journalled: Pick<JournalledStream, "close" | "leave"> | undefined;
  readonly catchesUp?: boolean;
}

/** What draws each answer: the engine, on from what there is, past the journal and the ledger. */
function generatorsOf(
  { priority }: Order,
  { generator, recorder }: ServedModel,
  { id, account, timeoutMs, drawn, continues, journalled, onRecord }: Drawing,
): (index: number) => TokenGenerator {
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
  return (index) => {
    const rest = drawn === undefined ? own : continued(own, drawn.get(index) ?? []);
    const kept = journalled === undefined ? rest : observed(rest, (token) => journalled.push(index, token));
    const before = continues?.[index];
    const owner = {
      request: id,
      tenant,
      revocations,
      ...(before === undefined ? {} : { continues: before }),
    };
    const recording = recorder?.record(kept, owner);
    if (recording !== undefined) onRecord?.(index, recording.opened);
    return recording ?? kept;
  };
}

function noteOrder(account: RequestAccount, order: Order): void {
  account.model = order.head.model;
  account.promptTokens = promptTokensOf(order);
  account.answers = answersOf(order);
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
