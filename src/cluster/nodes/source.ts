/** I/O: a channel, timers. Runtimes over the nodes of a cluster, as the plan in force has them: what an engine's thread runs on. */

import { setTimeout as sleep } from "node:timers/promises";
import { BroadcastChannel } from "node:worker_threads";
import { asClawError, ClawError } from "../../base/mod.ts";
import type { EngineSettings, OpenRuntime, Parallelism, RuntimeSource } from "../../engine/mod.ts";
import { openModelFile } from "../../model/mod.ts";
import type { PrescribedDegrees } from "../membership/mod.ts";
import { placementOf } from "../plan/mod.ts";
import { workEpoch } from "./epoch.ts";
import { AGAIN_MS, CLOSING_MS, COPIES_AT_ONCE } from "./limits.ts";
import { NodeFailure, openOnNodes } from "./remote-ranks.ts";
import {
  type FromSource,
  roomForBoth,
  type SourceOptions,
  sameWork,
  type ToSource,
  type Work,
} from "./work.ts";

export interface SourceTask {
  readonly settings: EngineSettings;
  readonly options: SourceOptions;
  readonly onNote: (text: string) => void;
}

/** The runtime that was opened last. */
interface Opened {
  readonly work: Work;
  /** Ends it from outside, when the next one has no room beside it. */
  readonly leave: AbortController;
}

interface Attempted {
  readonly work: Work;
  readonly at: number;
}

/** An attempt was given up for another. */
const SUPERSEDED = new ClawError("E_LINK", "The plan has changed meanwhile.");

export class ClusterSource implements RuntimeSource {
  readonly #task: SourceTask;
  readonly #channel: BroadcastChannel;
  #told: ToSource = {
    kind: "idle",
    problem: "This server does not hold the cluster's lease.",
    degrees: undefined,
  };
  readonly #listeners = new Set<() => void>();
  #onChange: () => void = () => {};
  #opened: Opened | undefined;
  /** That could not be opened. */
  #failed: Attempted | undefined;
  /** Settles when the runtimes that are being closed are. */
  #closing: Promise<unknown> = Promise.resolve();

  constructor(task: SourceTask) {
    this.#task = task;
    this.#channel = new BroadcastChannel(task.options.channel);
    this.#channel.onmessage = (event) => this.#heard((event as { readonly data: ToSource }).data);
    this.#channel.unref();
    this.#say({ kind: "hello" });
  }

  async open({ tensor, pipeline }: Parallelism): Promise<OpenRuntime> {
    // One way is no prescription: the planner knows better.
    const degrees = { tensor: tensor === 1 ? null : tensor, pipeline: pipeline === 1 ? null : pipeline };
    this.#say({ kind: "degrees", degrees });
    for (;;) {
      const work = await this.#workFor(degrees);
      // Where there is no room for two, what is being closed has to be gone.
      if (this.#opened === undefined || !roomForBoth(this.#opened.work, work)) await this.#closing;
      const runtime = await this.#attempt(work);
      if (runtime !== undefined) return runtime;
    }
  }

  onChange(listener: () => void): void {
    this.#onChange = listener;
    this.#reconsider();
  }

  async close(): Promise<void> {
    this.#channel.close();
    await this.#closing;
  }

  /** Undefined where another work took its place meanwhile, or nothing runs and it can be tried again. */
  async #attempt(work: Work): Promise<OpenRuntime | undefined> {
    const over = new AbortController();
    const superseded = new AbortController();
    this.#superseded(work, over.signal).then(() => superseded.abort(SUPERSEDED));
    try {
      const runtime = await this.#open(work, superseded.signal);
      const opened = { work, leave: new AbortController() };
      this.#opened = opened;
      const lost = AbortSignal.any([runtime.lost, opened.leave.signal]);
      return { ...runtime, lost, close: () => this.#close(runtime, opened) };
    } catch (thrown) {
      if (thrown === SUPERSEDED) return undefined;
      this.#failedWith(asClawError(thrown), work);
      return undefined;
    } finally {
      over.abort();
    }
  }

  /** Throws what cannot be waited for: anything while an older runtime goes on, and what is no matter of nodes. */
  #failedWith(error: ClawError, work: Work): void {
    this.#failed = { work, at: performance.now() };
    if (error instanceof NodeFailure) {
      const { name: node, life } = error.node;
      this.#say({ kind: "unreachable", node, life, why: error.message });
    }
    if (error.code !== "E_LINK") throw error;
    if (this.#opened !== undefined) {
      // The plan may still be carried out later.
      setTimeout(() => this.#reconsider(), AGAIN_MS).unref();
      throw error;
    }
    this.#task.onNote(`The plan cannot be carried out yet. ${error.message}`);
  }

  async #open(work: Work, signal: AbortSignal): Promise<OpenRuntime> {
    const { settings, options } = this.#task;
    const { name, secret, root, host, driver, slices, opened: count } = options;
    const model = openModelFile(settings.model);
    try {
      return await openOnNodes(model, {
        ...sizesOf(settings),
        // Each stage has a memory of its own.
        laneSequences: 1,
        copiesAtOnce: COPIES_AT_ONCE,
        placement: placementOf(work.plan, model.description),
        ...{ nodes: work.nodes, asker: { name, secret }, root, host, driver, slices, signal },
        epoch: workEpoch(work.holder, Atomics.add(new Int32Array(count), 0, 1)),
      });
    } finally {
      model.close();
    }
  }

  #close(runtime: OpenRuntime, opened: Opened): Promise<void> {
    if (this.#opened === opened) this.#opened = undefined;
    const { aborted } = runtime.lost;
    const closed = runtime.close();
    // A node that is gone does not answer, and nobody waits for it; the others have ended their ranks by then.
    const gone = aborted ? Promise.race([closed, sleep(CLOSING_MS)]) : closed;
    this.#closing = Promise.allSettled([this.#closing, gone]);
    return closed;
  }

  /** What there is to do, when there is something; E_PLAN where what is prescribed cannot be had beside what runs, E_SHUTDOWN. */
  async #workFor(degrees: PrescribedDegrees): Promise<Work> {
    let noted = "";
    for (;;) {
      const told = this.#told;
      if (told.kind === "closing") throw new ClawError("E_SHUTDOWN", "The server is stopping.");
      if (told.kind === "work" && sameDegrees(told.work.degrees, degrees) && this.#worthTrying(told.work)) {
        return told.work;
      }
      if (told.kind === "idle") {
        const answered = told.degrees !== undefined && sameDegrees(told.degrees, degrees);
        if (answered && this.#opened !== undefined) {
          // What runs was planned for something else, and goes on.
          this.#say({ kind: "degrees", degrees: this.#opened.work.degrees });
          throw new ClawError("E_PLAN", told.problem);
        }
        if (told.problem !== noted) this.#task.onNote(`Nothing computes yet. ${told.problem}`);
        noted = told.problem;
      }
      await this.#nextWord();
    }
  }

  /** What could not be opened is left alone for a while, in which another plan may come. */
  #worthTrying(work: Work): boolean {
    const failed = this.#failed;
    return failed === undefined || !sameWork(failed.work, work) || performance.now() - failed.at > AGAIN_MS;
  }

  /** Resolves when something was heard, and after a while. */
  async #nextWord(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#listeners.add(resolve);
    const timer = setTimeout(resolve, AGAIN_MS);
    await promise;
    clearTimeout(timer);
    this.#listeners.delete(resolve);
  }

  /** Resolves when there is something else to do. */
  async #superseded(work: Work, over: AbortSignal): Promise<void> {
    const current = (): boolean => {
      if (this.#told.kind === "work") return sameWork(this.#told.work, work);
      return this.#told.kind === "idle";
    };
    while (current() && !over.aborted) await this.#nextWord();
  }

  #heard(message: ToSource): void {
    this.#told = message;
    for (const listener of this.#listeners) listener();
    this.#reconsider();
  }

  /** Has the engine move where there is something else to do than what is done. */
  #reconsider(): void {
    const [told, opened] = [this.#told, this.#opened];
    if (told.kind !== "work" || opened === undefined || sameWork(opened.work, told.work)) return;
    if (roomForBoth(opened.work, told.work)) {
      this.#onChange();
      return;
    }
    const why = "The plan has changed, and there is no room for the old one beside the new one.";
    opened.leave.abort(new ClawError("E_LINK", why));
  }

  #say(message: FromSource): void {
    this.#channel.postMessage(message);
  }
}

function sizesOf({
  format,
  context,
  batch,
  batchMax,
  rows,
  kvFormat,
  kvBytes,
  device,
  threads,
}: EngineSettings) {
  return {
    ...{ format, context, batch, batchMax: batchMax ?? batch, rows, kvFormat, kvBytes, device },
    threads: threads ?? 1, // which nodes know better
  } as const;
}

function sameDegrees(a: PrescribedDegrees, b: PrescribedDegrees): boolean {
  return a.tensor === b.tensor && a.pipeline === b.pipeline;
}
