/**
 * The engine: feeds every runnable sequence's next tokens through one step program and draws the tokens that follow.
 * It knows no files, sockets or clocks; tokens depend on the model and the request alone (arithmetic.md).
 */

import { asClawError, assert, at, ClawError } from "../base/mod.ts";
import type { Executable, StepBlock } from "../kernels/mod.ts";
import { PagePool } from "./pages.ts";
import type { FinishReason, GenerationListener, GenerationRequest } from "./request.ts";
import { joinedStatus, statusError } from "./row-status.ts";
import { checkSampling, checkStopTokens, Sampler } from "./sampling/mod.ts";
import { type PlannedSequence, Scheduler } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";

export interface EngineOptions {
  readonly executable: Executable;
  readonly vocabulary: number;
  /** Positions a sequence may have. */
  readonly context: number;
  /** Sequences that run together. */
  readonly batch: number;
  /** Token rows in a step. */
  readonly rows: number;
  /** KV pages on the device. */
  readonly pages: number;
}

/** What a step did: for metrics, and for whoever keeps account of every token. */
interface StepReport {
  readonly rows: number;
  readonly tokens: readonly { readonly id: number; readonly token: number }[];
}

type StepListener = (record: StepReport) => void;

export class Engine {
  readonly #options: EngineOptions;
  readonly #pool: PagePool;
  readonly #scheduler: Scheduler;
  readonly #sampler: Sampler;
  readonly #listeners = new Map<number, GenerationListener>();
  readonly #stepListeners: StepListener[] = [];
  #nextId = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#pool = new PagePool(options.pages);
    this.#scheduler = new Scheduler({ batch: options.batch, rows: options.rows }, this.#pool);
    this.#sampler = new Sampler(options.vocabulary);
  }

  /** Queues a request; its id. Refuses what can never run: E_CONTEXT, E_PARAMETER, E_OVERLOADED. */
  submit(request: GenerationRequest, listener: GenerationListener): number {
    this.#check(request);
    const id = this.#nextId++;
    this.#scheduler.add(new Sequence(id, request));
    this.#listeners.set(id, listener);
    return id;
  }

  /** Ends a request at once, also while a step runs; its listener hears nothing more. */
  cancel(id: number): void {
    this.#scheduler.remove(id);
    this.#listeners.delete(id);
  }

  /** Calls back after every step. */
  onStep(listener: StepListener): void {
    this.#stepListeners.push(listener);
  }

  /** Requests in the engine: running and waiting. */
  get load(): { readonly running: number; readonly waiting: number; readonly pagesFree: number } {
    const { running, waiting } = this.#scheduler;
    return { running, waiting, pagesFree: this.#pool.free };
  }

  /** One step: plan, feed, execute, draw, report. False when nothing was runnable. */
  async step(): Promise<boolean> {
    const plan = this.#scheduler.plan();
    if (plan.length === 0) return false;
    const outputs = fillStep(this.#options.executable.step, plan);
    const rows = plan.reduce((sum, { count }) => sum + count, 0);
    await this.#options.executable.execute(rows, outputs);
    const tokens = this.#advance(plan);
    for (const listener of this.#stepListeners) listener({ rows, tokens });
    return true;
  }

  /** Fails every request, running or waiting. */
  failAll(error: ClawError): void {
    for (const { id } of this.#scheduler.all()) this.#fail(id, error);
  }

  /** Moves every planned sequence on by its fed tokens; draws for those whose tokens are all fed. */
  #advance(plan: readonly PlannedSequence[]): { id: number; token: number }[] {
    const { status } = this.#options.executable.step;
    const drawn: { id: number; token: number }[] = [];
    let row = 0;
    let output = 0;
    for (const { sequence, count } of plan) {
      const flags = joinedStatus(status.subarray(row, row + count));
      row += count;
      sequence.advance(count);
      const place = sequence.pending === 0 ? output++ : undefined;
      // A request cancelled while the step ran has no listener any more.
      if (!this.#listeners.has(sequence.id)) continue;
      if (flags !== 0) this.#fail(sequence.id, statusError(flags));
      else if (place !== undefined) this.#draw(sequence, place, drawn);
    }
    return drawn;
  }

  #draw(sequence: Sequence, output: number, drawn: { id: number; token: number }[]): void {
    const { vocabulary, executable } = this.#options;
    const logits = executable.step.logits.subarray(output * vocabulary, (output + 1) * vocabulary);
    const listener = this.#listeners.get(sequence.id);
    assert(listener !== undefined, "A running sequence has a listener.");
    try {
      const draw = this.#sampler.draw(logits, sequence, sequence.request.sampling);
      sequence.append(draw.token);
      drawn.push({ id: sequence.id, token: draw.token });
      const finish = finishReason(sequence);
      if (finish !== undefined) this.cancel(sequence.id);
      listener.token({ ...draw, finish });
    } catch (error) {
      this.#fail(sequence.id, asClawError(error));
    }
  }

  #fail(id: number, error: ClawError): void {
    const listener = this.#listeners.get(id);
    this.cancel(id);
    listener?.failed(error);
  }

  #check({ prompt, maxTokens, sampling, stopTokens }: GenerationRequest): void {
    const { context, vocabulary } = this.#options;
    checkSampling(sampling, vocabulary);
    checkStopTokens(stopTokens, vocabulary);
    if (!Number.isInteger(maxTokens) || maxTokens < 1) {
      throw new ClawError("E_PARAMETER", `max_tokens is ${maxTokens}; at least 1 was expected.`, {
        param: "max_tokens",
      });
    }
    if (prompt.length === 0) {
      throw new ClawError("E_PARAMETER", "The prompt has no tokens.", { param: "prompt" });
    }
    if (prompt.length + maxTokens > context) {
      const asked = `${prompt.length} prompt tokens and ${maxTokens} more`;
      throw new ClawError("E_CONTEXT", `The request has ${asked}; the context holds ${context}.`);
    }
    if (prompt.some((token) => token < 0 || token >= vocabulary)) {
      throw new ClawError("E_PARAMETER", "The prompt holds a token id outside the vocabulary.", {
        param: "prompt",
      });
    }
  }
}

/** Describes the plan to the device; the number of rows whose logits are wanted. */
function fillStep(step: StepBlock, plan: readonly PlannedSequence[]): number {
  let row = 0;
  let output = 0;
  let page = 0;
  for (const { sequence, count } of plan) {
    step.pages.set(sequence.pages, page);
    for (let i = 0; i < count; i++, row++) {
      const position = sequence.cached + i;
      step.tokens[row] = at(sequence.tokens, position);
      step.positions[row] = position;
      step.pageStart[row] = page;
    }
    if (count === sequence.pending) step.outputs[output++] = row - 1;
    page += sequence.pages.length;
  }
  return output;
}

function finishReason(sequence: Sequence): FinishReason | undefined {
  if (sequence.request.stopTokens.includes(sequence.last)) return "stop";
  return sequence.generated === sequence.request.maxTokens ? "length" : undefined;
}
