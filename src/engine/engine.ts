/**
 * The engine: feeds every runnable sequence's next tokens through one step program and draws the tokens that follow.
 * It knows no files or sockets, and time only to share the machine; tokens depend on the model and the request alone
 * (arithmetic.md).
 */

import { asClawError, assert, at, ClawError } from "../base/mod.ts";
import type { Executable, KvPages } from "../kernels/mod.ts";
import { Lane } from "./lane.ts";
import { EXPECTED_MAX, FAILED_STEPS_MAX, QUEUE_MAX, SWAP_BYTES_DEFAULT } from "./limits.ts";
import { type MirrorCounts, PageMirror } from "./page-mirror.ts";
import type { PageStore } from "./page-store.ts";
import { prefixScope } from "./prefix-scope.ts";
import type { FinishReason, GenerationListener, GenerationRequest } from "./request.ts";
import { checkRequest } from "./request-check.ts";
import { Residency } from "./residency.ts";
import { RetryEstimate } from "./retry-estimate.ts";
import { joinedStatus, statusError } from "./row-status.ts";
import type { PageCopies } from "./runtime.ts";
import { type Draw, Sampler } from "./sampling/mod.ts";
import { Scheduler, type SchedulerLimits } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";
import type { EngineObserver, RequestOutcome } from "./step-record.ts";
import { type StepAudience, StepRecorder } from "./step-recorder.ts";

/** What an engine computes with; it may be replaced by another between two steps. */
export interface EngineRuntime {
  readonly executable: Executable;
  /** Others over the same pages, on each of which a step of other sequences may be under way; undefined: none. */
  readonly beside?: readonly Executable[] | undefined;
  /** Steps are begun beside others only where each has so many sequences; undefined: 1. */
  readonly laneSequences?: number | undefined;
  /** Copies KV pages. */
  readonly kv: KvPages;
  /** Positions a sequence may have. */
  readonly context: number;
  /** Digests of the adapters that requests may name, in the order of the program's; undefined: none. */
  readonly adapters?: readonly string[] | undefined;
  /** KV pages that may be used at first, and those allocated; undefined: the same. */
  readonly pages: number;
  readonly pagesMax?: number | undefined;
  /** Host memory for the pages of preempted sequences; undefined: SWAP_BYTES_DEFAULT. */
  readonly swapBytes?: number | undefined;
  /** Copies KV pages out and in; undefined: they cannot be. */
  readonly copies?: PageCopies | undefined;
}

export interface EngineOptions extends EngineRuntime {
  readonly vocabulary: number;
  /** Sequences that run together at first; the executable's outputs are the most that may. */
  readonly batch: number;
  /** Prompt tokens in a step beside decoding sequences, at most; undefined: the step's rows. */
  readonly prefillChunkTokens?: number | undefined;
  /** Whether requests find the pages of earlier ones with the same beginning; they do unless told. */
  readonly prefixCache?: boolean | undefined;
  /** Whether they find those of other tenants, too; they do not unless told. */
  readonly prefixShared?: boolean | undefined;
  /** Where copies of running requests' pages are kept for another runtime, and who counts them; undefined: nowhere. */
  readonly mirror?: { readonly store: PageStore; readonly counts: MirrorCounts } | undefined;
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
  #options: EngineOptions;
  #residency: Residency;
  readonly #mirror: PageMirror | undefined;
  readonly #scheduler: Scheduler;
  readonly #sampler: Sampler;
  readonly #audience: StepAudience = { observers: [], steps: 0 };
  readonly #retry: RetryEstimate;
  readonly #requests = new Map<number, Running>();
  #lanes: readonly Lane[];
  /** Those with a step under way, in the order in which they began. */
  readonly #underWay: Lane[] = [];
  #nextId = 0;
  /** Those that another engine has begun: it may have left copies of their pages. */
  #continued: Sequence[] = [];
  /** And those that it has now, and that may come to this one. */
  #expected: Sequence[] = [];
  /** As configured; a runtime may allow less. */
  #wanted: { readonly batch: number; readonly prefillChunkTokens: number; readonly pages: number };
  #pages: number;

  constructor(options: EngineOptions) {
    const { executable, vocabulary, batch, pages, clock } = options;
    const { prefillChunkTokens = executable.step.tokens.length } = options;
    this.#options = options;
    this.#wanted = { batch, prefillChunkTokens, pages };
    this.#pages = pages;
    this.#residency = residencyFor(options, pages);
    const { mirror, copies } = options;
    this.#mirror = mirror && copies && new PageMirror(mirror.store, copies, mirror.counts);
    this.#scheduler = new Scheduler(limitsOf(options, { batch, prefillChunkTokens }), this.#residency);
    this.#sampler = new Sampler(vocabulary);
    this.#retry = new RetryEstimate(clock);
    this.#lanes = this.#makeLanes();
  }

  /** Queues a request; its id. Refuses what can never run: E_CONTEXT, E_PARAMETER; and E_OVERLOADED. */
  submit(request: GenerationRequest, listener: GenerationListener): number {
    const { queue = QUEUE_MAX } = this.#options;
    const sequence = this.#sequenceOf(request);
    checkPages(sequence, this.#pages);
    if (this.#scheduler.waiting >= queue) {
      const retryAfterSeconds = this.#retry.seconds(queue);
      throw new ClawError("E_OVERLOADED", `${queue} requests are waiting already.`, { retryAfterSeconds });
    }
    this.#requests.set(sequence.id, { sequence, listener });
    this.#scheduler.add(sequence);
    if (this.#mirror !== undefined && request.drawn !== undefined) this.#continued.push(sequence);
    return this.#nextId++;
  }

  /**
   * Told of a request that another engine has now: pages of it that are kept somewhere are brought here while nothing runs. What cannot
   * run here is passed over.
   */
  expect(request: GenerationRequest): void {
    if (this.#mirror === undefined || this.#expected.length >= EXPECTED_MAX) return;
    try {
      this.#expected.push(this.#sequenceOf(request));
    } catch {
      // Whoever submits it is told.
    }
  }

  /** Ends a request at once, also while a step runs; its listener hears nothing more. */
  cancel(id: number): void {
    const request = this.#remove(id);
    if (request !== undefined) this.#ended(request.sequence, "cancelled");
  }

  /** Tells the observer of every step and request from now on. */
  observe(observer: EngineObserver): void {
    this.#audience.observers.push(observer);
  }

  /**
   * Changes limits from the next step on; ends no request and changes no bit. A KV cache that some request needs more of
   * shrinks as far as that one allows, and further when it has ended. E_PARAMETER beyond what the engine was made for.
   */
  configure(limits: LiveLimits): void {
    this.checkLimits(limits);
    const { batch, prefillChunkTokens, pages } = limits;
    const before = this.#wanted;
    this.#wanted = {
      batch: batch ?? before.batch,
      prefillChunkTokens: prefillChunkTokens ?? before.prefillChunkTokens,
      pages: pages ?? before.pages,
    };
    if (batch !== undefined) this.#scheduler.batch = batch;
    if (prefillChunkTokens !== undefined) this.#scheduler.budget.most = prefillChunkTokens;
    if (pages !== undefined) this.#pages = pages;
  }

  /** E_PARAMETER beyond what the engine was made for. */
  checkLimits({ batch, prefillChunkTokens, pages }: LiveLimits): void {
    const { executable, pagesMax = this.#options.pages } = this.#options;
    const { tokens, outputs } = executable.step;
    checkLimit("max_batch_size", batch, outputs.length);
    checkLimit("prefill_chunk_tokens", prefillChunkTokens, tokens.length);
    checkLimit("kv_cache_bytes", pages, pagesMax);
  }

  /**
   * Goes on with another runtime, when no step is under way. Every request waits to be computed again there, from the tokens there
   * are and from copies of pages, so no bit changes; limits are as configured as far as the new runtime allows. A request that
   * can never run there fails.
   */
  async move(runtime: EngineRuntime): Promise<void> {
    assert(this.#underWay.length === 0, "Steps have ended before their runtime is left.");
    const { beside, laneSequences } = runtime;
    this.#options = { ...this.#options, ...runtime, beside, laneSequences };
    const { tokens, outputs } = runtime.executable.step;
    this.#pages = Math.min(this.#wanted.pages, runtime.pagesMax ?? runtime.pages);
    this.#residency = residencyFor(this.#options, this.#pages);
    const batch = Math.min(this.#wanted.batch, outputs.length);
    const prefillChunkTokens = Math.min(this.#wanted.prefillChunkTokens, tokens.length);
    this.#scheduler.move(limitsOf(this.#options, { batch, prefillChunkTokens }), this.#residency);
    this.#lanes = this.#makeLanes();
    this.#failMisfits();
    this.#continued = [];
    this.#expected = [];
    if (runtime.copies !== undefined) {
      await this.#mirror?.move(runtime.copies, this.#byRank(), this.#residency);
    }
  }

  /** Requests in the engine, and pages that are free or that only the prefix cache holds. */
  get load(): { readonly running: number; readonly waiting: number; readonly pagesFree: number } {
    const { running, waiting } = this.#scheduler;
    return { running, waiting, pagesFree: this.#residency.free + this.#residency.cached };
  }

  /**
   * Begins as many steps as may be under way, and ends the one that began first: plan, feed, execute, draw, deliver, report. False
   * when nothing was runnable.
   */
  async step(): Promise<boolean> {
    this.endLate();
    this.#fitPages();
    if (this.#continued.length + this.#expected.length > 0) await this.#bringCopies();
    while (this.#begin());
    if (this.#underWay.length === 0) return false;
    await this.#end();
    return true;
  }

  /** Ends the steps that are under way; none begins. */
  async settle(): Promise<void> {
    while (this.#underWay.length > 0) await this.#end();
  }

  /** Plans a step beside those that are under way, and has it executed. False when there is no lane for it, or nobody to run. */
  #begin(): boolean {
    const lane = this.#lanes.find((each) => !this.#underWay.includes(each));
    if (lane === undefined) return false;
    const { plan, recorder } = lane;
    recorder.begin();
    this.#scheduler.plan(this.#options.clock(), plan, this.#underWay.length);
    if (plan.length === 0) {
      if (this.#underWay.length === 0) recorder.idled(this.#scheduler, this.#residency);
      return false;
    }
    // Before it begins: the reference computes at once, and returns when it is done.
    recorder.planned(plan, this.#scheduler);
    lane.begin();
    this.#underWay.push(lane);
    return true;
  }

  /** Ends the step that began first. When it fails, so do the others. */
  async #end(): Promise<void> {
    const lane = at(this.#underWay, 0);
    const { plan, recorder } = lane;
    try {
      await lane.end();
    } catch (error) {
      const [, ...others] = this.#underWay.splice(0);
      await Promise.allSettled(others.map((other) => other.end()));
      throw error;
    }
    this.#underWay.shift();
    recorder.executed(lane.executable.lastExchanges);
    this.#advance(lane);
    recorder.sampled();
    this.#deliver(lane);
    const ms = recorder.delivered(this.#scheduler, this.#residency);
    this.#scheduler.budget.record(plan.decoding, plan.promptTokens, ms);
  }

  /** Also for those that come meanwhile: a step that began without their copies would compute all of them anew. */
  async #bringCopies(): Promise<void> {
    while (this.#continued.length + this.#expected.length > 0) {
      const sequences = this.#continued.splice(0).filter(({ id }) => this.#requests.has(id));
      await this.#mirror?.restore(sequences, this.#residency);
      // Nobody waits for what is only expected.
      if (this.#requests.size > 0) this.#expected = [];
      const expected = this.#expected.shift();
      if (expected !== undefined) await this.#mirror?.expect(expected, this.#residency);
    }
  }

  /** Errors: E_CONTEXT, E_PARAMETER. */
  #sequenceOf(request: GenerationRequest): Sequence {
    const { clock, prefixShared = false } = this.#options;
    checkRequest(request, this.#options);
    const origin = { tenant: request.tenant ?? "", adapter: request.adapter, epochs: [] };
    const scope = prefixScope(origin, prefixShared);
    const adapter = this.#adapterOf(request);
    return new Sequence(this.#nextId, request, { scope, adapter, now: clock() });
  }

  /** Fails every request, running or waiting. */
  failAll(error: ClawError): void {
    for (const id of this.#requests.keys()) this.#fail(id, error);
  }

  /** Ends requests whose time is over; every step begins with it. */
  endLate(): void {
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

  /** Fails requests for which a new runtime has no room, and those whom steps failed with again and again. */
  #failMisfits(): void {
    const most = this.#options.pagesMax ?? this.#options.pages;
    for (const { sequence } of this.#requests.values()) {
      try {
        checkRequest(sequence.request, this.#options);
        sequence.adapter = this.#adapterOf(sequence.request);
        checkPages(sequence, most);
        checkFailures(sequence);
      } catch (error) {
        this.#fail(sequence.id, asClawError(error));
      }
    }
  }

  #makeLanes(): Lane[] {
    const { executable, beside = [], vocabulary, clock } = this.#options;
    const { length } = executable.step.outputs;
    return [executable, ...beside].map((each) => {
      return new Lane(each, vocabulary, new StepRecorder(clock, length, this.#audience));
    });
  }

  /** All sequences, in the order in which they will run. */
  #byRank(): Sequence[] {
    return [...this.#requests.values()]
      .map(({ sequence }) => sequence)
      .sort((a, b) => b.priority - a.priority || a.id - b.id);
  }

  /** The place of a request's adapter among the program's, counted from 1; 0: none. */
  #adapterOf({ adapter }: GenerationRequest): number {
    const { adapters = [] } = this.#options;
    return adapter === undefined ? 0 : 1 + adapters.indexOf(adapter);
  }

  /** The usable pages: as many as configured, but always enough for the neediest request there is. */
  #fitPages(): void {
    if (this.#residency.limit === this.#pages) return;
    let needed = this.#pages;
    for (const { sequence } of this.#requests.values()) needed = Math.max(needed, sequence.pagesNeeded);
    this.#residency.resize(needed);
  }

  /** Moves every planned sequence on by its fed tokens; draws for those whose tokens are all fed. */
  #advance(lane: Lane): void {
    const { plan, drawn } = lane;
    const { status } = lane.executable.step;
    let row = 0;
    let output = 0;
    for (let index = 0; index < plan.length; index++) {
      const sequence = plan.sequence(index);
      const count = plan.count(index);
      const flags = joinedStatus(status, row, row + count);
      row += count;
      const logits = plan.completes(index) ? at(lane.logits, output++) : undefined;
      drawn[index] = undefined;
      // A request cancelled while the step ran has given its pages back, as one that others took them from.
      if (!this.#requests.has(sequence.id) || !lane.stands(index)) continue;
      this.#scheduler.fed(sequence, count);
      if (flags !== 0) {
        drawn[index] = statusError(flags);
      } else {
        this.#residency.settle(sequence);
        this.#mirror?.copy(sequence);
      }
      if (flags === 0 && logits !== undefined) drawn[index] = this.#draw(sequence, logits);
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
  #deliver(lane: Lane): void {
    const { plan, recorder } = lane;
    const now = this.#options.clock();
    for (let index = 0; index < plan.length; index++) {
      const drawn = lane.drawn[index];
      const sequence = plan.sequence(index);
      // A listener may have cancelled others.
      if (drawn === undefined || !this.#requests.has(sequence.id)) continue;
      if (drawn instanceof ClawError) this.#fail(sequence.id, drawn);
      else {
        recorder.drew(sequence.id, drawn.token);
        this.#hand(sequence, drawn, now);
      }
    }
  }

  #hand(sequence: Sequence, drawn: Draw, now: number): void {
    sequence.append(drawn.token, now);
    for (const observer of this.#audience.observers) observer.token?.(sequence);
    const finish = finishReason(sequence);
    const request = finish === undefined ? this.#requests.get(sequence.id) : this.#remove(sequence.id);
    assert(request !== undefined, "A running sequence has a listener.");
    if (finish !== undefined) {
      this.#retry.ended();
      this.#ended(sequence, finish);
    }
    request.listener.token({ ...drawn, finish });
  }

  #fail(id: number, error: ClawError): void {
    const request = this.#remove(id);
    if (request === undefined) return;
    this.#ended(request.sequence, "failed");
    request.listener.failed(error);
  }

  #ended(sequence: Sequence, outcome: RequestOutcome): void {
    for (const observer of this.#audience.observers) observer.ended?.(sequence, outcome);
  }

  #remove(id: number): Running | undefined {
    const request = this.#requests.get(id);
    if (request === undefined) return undefined;
    this.#requests.delete(id);
    this.#scheduler.remove(request.sequence);
    return request;
  }
}

function residencyFor(options: EngineOptions, pages: number): Residency {
  const { kv, prefixCache = true, swapBytes = SWAP_BYTES_DEFAULT, clock } = options;
  const pagesMax = options.pagesMax ?? options.pages;
  return new Residency({ kv, pagesMax, pages, swapBytes, prefixCache, clock });
}

/** What the scheduler is told of a runtime's step blocks. */
function limitsOf(
  { executable, beside = [], laneSequences }: EngineRuntime,
  { batch, prefillChunkTokens }: { readonly batch: number; readonly prefillChunkTokens: number },
): SchedulerLimits {
  const { tokens, outputs } = executable.step;
  const sizes = { batchMax: outputs.length, rows: tokens.length };
  return { batch, ...sizes, prefillChunkTokens, lanes: 1 + beside.length, laneSequences };
}

function checkPages({ pagesNeeded }: Sequence, pages: number): void {
  if (pagesNeeded <= pages) return;
  throw new ClawError("E_CONTEXT", `The request needs ${pagesNeeded} KV pages; the cache has ${pages}.`);
}

/** A request may be why steps fail; it must not keep others from theirs for ever. */
function checkFailures({ failedSteps }: Sequence): void {
  if (failedSteps <= FAILED_STEPS_MAX) return;
  const times = `${failedSteps} steps in a row`;
  throw new ClawError(
    "E_ENGINE_RESTARTED",
    `${times} were lost with what computed them, and this request was in each.`,
  );
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
