/**
 * The engine: feeds every runnable sequence's next tokens through one step program and draws the tokens that follow.
 * It knows no files or sockets, and time only to share the machine; tokens depend on the model and the request alone
 * (arithmetic.md).
 */

import { asClawError, assert, at, ClawError } from "../base/mod.ts";
import type { Executable, KvPages } from "../kernels/mod.ts";
import { QUEUE_MAX, SWAP_BYTES_DEFAULT } from "./limits.ts";
import { fillStep, type Plan } from "./plan.ts";
import { prefixScope } from "./prefix-scope.ts";
import type { FinishReason, GenerationListener, GenerationRequest } from "./request.ts";
import { checkRequest } from "./request-check.ts";
import { Residency } from "./residency.ts";
import { RetryEstimate } from "./retry-estimate.ts";
import { joinedStatus, statusError } from "./row-status.ts";
import { type Draw, Sampler } from "./sampling/mod.ts";
import { Scheduler } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";
import type { EngineObserver } from "./step-record.ts";
import { StepRecorder } from "./step-recorder.ts";

export interface EngineOptions {
  readonly executable: Executable;
  /** Copies KV pages. */
  readonly kv: KvPages;
  readonly vocabulary: number;
  /** Positions a sequence may have. */
  readonly context: number;
  /** Digests of the adapters that requests may name, in the order of the program's; undefined: none. */
  readonly adapters?: readonly string[] | undefined;
  /** Sequences that run together at first; the executable's outputs are the most that may. */
  readonly batch: number;
  /** KV pages that may be used at first, and those allocated; undefined: the same. */
  readonly pages: number;
  readonly pagesMax?: number | undefined;
  /** Prompt tokens in a step beside decoding sequences, at most; undefined: the step's rows. */
  readonly prefillChunkTokens?: number | undefined;
  /** Host memory for the pages of preempted sequences; undefined: SWAP_BYTES_DEFAULT. */
  readonly swapBytes?: number | undefined;
  /** Whether requests find the pages of earlier ones with the same beginning; they do unless told. */
  readonly prefixCache?: boolean | undefined;
  /** Whether they find those of other tenants, too; they do not unless told. */
  readonly prefixShared?: boolean | undefined;
  /** Requests that may wait; undefined: QUEUE_MAX. */
  readonly queue?: number | undefined;
  /** Milliseconds from any beginning. */
  readonly clock: () => number;
}

/** What may change between two steps. */
export interface LiveLimits {
  readonly batch?: number | undefined;
  readonly prefillChunkTokens?: number | undefined;
  readonly pages?: number | undefined;
}

interface Running {
  readonly sequence: Sequence;
  readonly listener: GenerationListener;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #residency: Residency;
  readonly #scheduler: Scheduler;
  readonly #sampler: Sampler;
  readonly #recorder: StepRecorder;
  readonly #retry: RetryEstimate;
  readonly #requests = new Map<number, Running>();
  /** Logits of each output, as views made once. */
  readonly #logits: readonly Float32Array[];
  /** What was drawn in a step, by the plan's index: a token, an error, or nothing yet. */
  readonly #drawn: (Draw | ClawError | undefined)[];
  #nextId = 0;
  #pages: number;

  constructor(options: EngineOptions) {
    const { executable, vocabulary, batch, kv, pages, clock } = options;
    const { tokens, outputs, logits } = executable.step;
    this.#options = options;
    this.#pages = pages;
    const pagesMax = options.pagesMax ?? pages;
    const {
      prefixCache = true,
      swapBytes = SWAP_BYTES_DEFAULT,
      prefillChunkTokens = tokens.length,
    } = options;
    this.#residency = new Residency({ kv, pagesMax, pages, swapBytes, prefixCache, clock });
    const limits = { batch, batchMax: outputs.length, rows: tokens.length, prefillChunkTokens };
    this.#scheduler = new Scheduler(limits, this.#residency);
    this.#sampler = new Sampler(vocabulary);
    this.#recorder = new StepRecorder(clock, outputs.length);
    this.#retry = new RetryEstimate(clock);
    this.#drawn = new Array(outputs.length).fill(undefined);
    this.#logits = Array.from({ length: outputs.length }, (_, i) =>
      logits.subarray(i * vocabulary, (i + 1) * vocabulary),
    );
  }

  /** Queues a request; its id. Refuses what can never run: E_CONTEXT, E_PARAMETER; and E_OVERLOADED. */
  submit(request: GenerationRequest, listener: GenerationListener): number {
    const { queue = QUEUE_MAX, clock, prefixShared = false, adapters = [] } = this.#options;
    checkRequest(request, this.#options);
    const origin = { tenant: request.tenant ?? "", adapter: request.adapter, epochs: [] };
    const scope = prefixScope(origin, prefixShared);
    const adapter = request.adapter === undefined ? 0 : 1 + adapters.indexOf(request.adapter);
    const sequence = new Sequence(this.#nextId, request, { scope, adapter, now: clock() });
    if (sequence.pagesNeeded > this.#pages) {
      const needed = `The request needs ${sequence.pagesNeeded} KV pages`;
      throw new ClawError("E_CONTEXT", `${needed}; the cache has ${this.#pages}.`);
    }
    if (this.#scheduler.waiting >= queue) {
      const retryAfterSeconds = this.#retry.seconds(queue);
      throw new ClawError("E_OVERLOADED", `${queue} requests are waiting already.`, { retryAfterSeconds });
    }
    this.#requests.set(sequence.id, { sequence, listener });
    this.#scheduler.add(sequence);
    return this.#nextId++;
  }

  /** Ends a request at once, also while a step runs; its listener hears nothing more. */
  cancel(id: number): void {
    const request = this.#remove(id);
    if (request !== undefined) this.#recorder.ended(request.sequence, "cancelled");
  }

  /** Tells the observer of every step and request from now on. */
  observe(observer: EngineObserver): void {
    this.#recorder.observe(observer);
  }

  /**
   * Changes limits from the next step on; ends no request and changes no bit. A KV cache that some request needs more of
   * shrinks as far as that one allows, and further when it has ended. E_PARAMETER beyond what the engine was made for.
   */
  configure({ batch, prefillChunkTokens, pages }: LiveLimits): void {
    const { executable, pagesMax = this.#options.pages } = this.#options;
    const { tokens, outputs } = executable.step;
    checkLimit("max_batch_size", batch, outputs.length);
    checkLimit("prefill_chunk_tokens", prefillChunkTokens, tokens.length);
    checkLimit("kv_cache_bytes", pages, pagesMax);
    if (batch !== undefined) this.#scheduler.batch = batch;
    if (prefillChunkTokens !== undefined) this.#scheduler.budget.most = prefillChunkTokens;
    if (pages !== undefined) this.#pages = pages;
  }

  /** Requests in the engine, and pages that are free or that only the prefix cache holds. */
  get load(): { readonly running: number; readonly waiting: number; readonly pagesFree: number } {
    const { running, waiting } = this.#scheduler;
    return { running, waiting, pagesFree: this.#residency.free + this.#residency.cached };
  }

  /** One step: plan, feed, execute, draw, deliver, report. False when nothing was runnable. */
  async step(): Promise<boolean> {
    const recorder = this.#recorder;
    const { executable } = this.#options;
    recorder.begin();
    this.#endLate();
    this.#fitPages();
    const plan = this.#scheduler.plan(this.#options.clock());
    if (plan.length === 0) {
      recorder.idled(this.#scheduler, this.#residency);
      return false;
    }
    const outputs = fillStep(executable.step, plan);
    recorder.planned(plan, this.#scheduler);
    await executable.execute(plan.rows, outputs);
    recorder.executed();
    this.#advance(plan);
    recorder.sampled();
    this.#deliver(plan);
    const ms = recorder.delivered(this.#scheduler, this.#residency);
    this.#scheduler.budget.record(plan.decoding, plan.promptTokens, ms);
    return true;
  }

  /** Fails every request, running or waiting. */
  failAll(error: ClawError): void {
    for (const id of this.#requests.keys()) this.#fail(id, error);
  }

  /** Ends requests whose time is over. */
  #endLate(): void {
    const now = this.#options.clock();
    for (const { sequence } of this.#requests.values()) {
      if (now < sequence.deadlineAt) continue;
      const allowed = sequence.request.deadlineMs;
      const drawn = sequence.generatedTokens;
      this.#fail(
        sequence.id,
        new ClawError("E_DEADLINE", `After ${allowed} ms, ${drawn} tokens had been drawn.`),
      );
    }
  }

  /** The usable pages: as many as configured, but always enough for the neediest request there is. */
  #fitPages(): void {
    if (this.#residency.limit === this.#pages) return;
    let needed = this.#pages;
    for (const { sequence } of this.#requests.values()) needed = Math.max(needed, sequence.pagesNeeded);
    this.#residency.resize(needed);
  }

  /** Moves every planned sequence on by its fed tokens; draws for those whose tokens are all fed. */
  #advance(plan: Plan): void {
    const { status } = this.#options.executable.step;
    let row = 0;
    let output = 0;
    for (let index = 0; index < plan.length; index++) {
      const sequence = plan.sequence(index);
      const count = plan.count(index);
      const flags = joinedStatus(status, row, row + count);
      row += count;
      const logits = plan.completes(index) ? at(this.#logits, output++) : undefined;
      this.#drawn[index] = undefined;
      // A request cancelled while the step ran has given its pages back.
      if (!this.#requests.has(sequence.id)) continue;
      this.#scheduler.fed(sequence, count);
      if (flags !== 0) this.#drawn[index] = statusError(flags);
      else this.#residency.settle(sequence);
      if (flags === 0 && logits !== undefined) this.#drawn[index] = this.#draw(sequence, logits);
    }
  }

  #draw(sequence: Sequence, logits: Float32Array): Draw | ClawError {
    try {
      return this.#sampler.draw(logits, sequence, sequence.request.sampling);
    } catch (error) {
      return asClawError(error);
    }
  }

  /** Hands out what was drawn. */
  #deliver(plan: Plan): void {
    const now = this.#options.clock();
    for (let index = 0; index < plan.length; index++) {
      const drawn = this.#drawn[index];
      const sequence = plan.sequence(index);
      // A listener may have cancelled others.
      if (drawn === undefined || !this.#requests.has(sequence.id)) continue;
      if (drawn instanceof ClawError) this.#fail(sequence.id, drawn);
      else this.#hand(sequence, drawn, now);
    }
  }

  #hand(sequence: Sequence, drawn: Draw, now: number): void {
    sequence.append(drawn.token, now);
    this.#recorder.drew(sequence.id, drawn.token);
    this.#recorder.token(sequence);
    const finish = finishReason(sequence);
    const request = finish === undefined ? this.#requests.get(sequence.id) : this.#remove(sequence.id);
    assert(request !== undefined, "A running sequence has a listener.");
    if (finish !== undefined) {
      this.#retry.ended();
      this.#recorder.ended(sequence, finish);
    }
    request.listener.token({ ...drawn, finish });
  }

  #fail(id: number, error: ClawError): void {
    const request = this.#remove(id);
    if (request === undefined) return;
    this.#recorder.ended(request.sequence, "failed");
    request.listener.failed(error);
  }

  #remove(id: number): Running | undefined {
    const request = this.#requests.get(id);
    if (request === undefined) return undefined;
    this.#requests.delete(id);
    this.#scheduler.remove(request.sequence);
    return request;
  }
}

function finishReason(sequence: Sequence): FinishReason | undefined {
  if (sequence.request.stopTokens.includes(sequence.last)) return "stop";
  return sequence.generatedTokens === sequence.request.maxTokens ? "length" : undefined;
}

function checkLimit(param: string, value: number | undefined, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return;
  const told = `${param} cannot become ${value} while the engine runs: it was started for at most ${most}`;
  throw new ClawError("E_PARAMETER", `${told}; restart it for more.`, { param });
}
