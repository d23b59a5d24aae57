/**
 * I/O: what the engine's thread does: opens a runtime, then steps; tokens leave through a ring, all else through the thread's
 * port. The module of such a thread calls `runEngineThread` with its source of runtimes.
 */

import { setTimeout as delay } from "node:timers/promises";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { asClawError, assert, at, ClawError } from "../base/mod.ts";
import { Engine } from "./engine.ts";
import { GapWatch } from "./gap-watch.ts";
import type { SourceListener } from "./local-source.ts";
import { EngineLoop } from "./loop.ts";
import { type EngineStart, errorData, type FromEngine, type ToEngine } from "./messages.ts";
import { EngineMetrics } from "./metrics.ts";
import { pageStoreOf } from "./page-stores.ts";
import { Recovery, type RunningPlan } from "./recovery.ts";
import type { GenerationListener, GenerationRequest } from "./request.ts";
import type { RuntimeSource } from "./runtime-source.ts";
import type { EngineChange, EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";
import { watchPauses } from "./thread-pauses.ts";
import { TokenRing } from "./token-ring.ts";
import { TokenSender } from "./token-sender.ts";

/** Serves the requests that come to this thread with the runtimes of a source, until it is told to close. */
export async function runEngineThread(
  sourceOf: (settings: EngineSettings, listener: SourceListener) => RuntimeSource,
): Promise<void> {
  assert(parentPort !== null, "The engine's thread is started as a worker.");
  const port = parentPort;
  const start = workerData as EngineStart;
  const send = (message: FromEngine): void => port.postMessage(message);
  const metrics = new EngineMetrics(start.metrics);
  const source = sourceOf(start.settings, {
    onProgress: (fraction) => send({ type: "loading", fraction }),
    onNote: (text) => send({ type: "note", text }),
    onDamage: (error) => send({ type: "damaged", error: errorData(error) }),
    metrics,
  });
  try {
    const { parallelism = { tensor: 1, pipeline: 1 } } = start.settings;
    const plan = { runtime: await source.open(parallelism), parallelism };
    const service = new Service(port, start, { plan, source, metrics });
    port.on("message", (message: ToEngine) => service.receive(message));
    send({ type: "ready", info: infoOf(plan, start.settings) });
  } catch (error) {
    await source.close();
    send({ type: "refused", error: errorData(asClawError(error)) });
  }
}

/** Lets the thread's other events in. The promise of `node:timers/promises` costs several times the garbage. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function every(ms: number, work: () => void): () => void {
  const timer = setInterval(work, ms);
  return () => clearInterval(timer);
}

function vocabularyOf({ runtime }: RunningPlan): number {
  const { logits, outputs } = runtime.executable.step;
  return logits.length / outputs.length;
}

function infoOf(plan: RunningPlan, { format, batch, adapters = [] }: EngineSettings): EngineInfo {
  const { report, kvFormat, context, pages, pagesMax, pageBytes, executable } = plan.runtime;
  return {
    ...report,
    format,
    kvFormat,
    context,
    batch,
    batchMax: executable.step.outputs.length,
    vocabulary: vocabularyOf(plan),
    adapters: adapters.map(({ name }, i) => ({ name, digest: at(plan.runtime.adapters, i) })),
    kvBytes: pages * pageBytes,
    kvBytesMax: pagesMax * pageBytes,
  };
}

function engineOf(plan: RunningPlan, settings: EngineSettings, metrics: EngineMetrics): Engine {
  const { batch, prefillChunkTokens, swapBytes, prefixCache, prefixShared } = settings;
  const store = pageStoreOf(settings, plan.runtime.kvFormat, () => metrics.forgot());
  const mirror = store && { store, counts: metrics };
  const limits = { batch, prefillChunkTokens, swapBytes, prefixCache, prefixShared, mirror };
  const clock = (): number => performance.now();
  // The runtime's words come last: its pages may be where they cannot be copied out.
  return new Engine({ ...limits, ...plan.runtime, vocabulary: vocabularyOf(plan), clock });
}

interface Serving {
  readonly plan: RunningPlan;
  readonly source: RuntimeSource;
  readonly metrics: EngineMetrics;
}

/** Answers the messages of the client. */
class Service {
  readonly #port: MessagePort;
  readonly #engine: Engine;
  readonly #pageBytes: number;
  readonly #sender: TokenSender;
  readonly #loop: EngineLoop;
  readonly #recovery: Recovery;
  readonly #gaps: GapWatch;
  /** What the client was told last. */
  #load: EngineLoad = { running: 0, waiting: 0, recovering: false };
  #recovering = false;
  /** Engine ids by the client's ids. */
  readonly #ids = new Map<number, number>();

  constructor(port: MessagePort, { ring, settings }: EngineStart, { plan, source, metrics }: Serving) {
    this.#port = port;
    this.#engine = engineOf(plan, settings, metrics);
    this.#pageBytes = plan.runtime.pageBytes;
    this.#sender = new TokenSender(new TokenRing(ring), (message) => this.#send(message));
    const clock = (): number => performance.now();
    this.#gaps = new GapWatch(this.#engine, { clock, paused: (seconds) => metrics.paused(seconds) });
    const failed = (error: ClawError): Promise<boolean> => this.#recovery.failed(error);
    this.#loop = new EngineLoop(this.#engine, { pause: nextTurn, failed });
    this.#recovery = this.#recoveryOf({ plan, source, metrics });
    this.#engine.observe(metrics);
    watchPauses(metrics);
    const reportLoad = (): void => this.#reportLoad();
    this.#engine.observe({ stepped: reportLoad, idled: reportLoad });
    this.#engine.observe({ stepped: () => this.#sender.flush() });
  }

  receive(message: ToEngine): void {
    if (message.type === "generate") this.#generate(message);
    else if (message.type === "expect") this.#expect(message.request);
    else if (message.type === "cancel") this.#cancel(message.id);
    else if (message.type === "configure") void this.#configure(message.id, message.change);
    else if (message.type === "received") this.#sender.confirmed();
    else void this.#close();
  }

  #send(message: FromEngine): void {
    this.#port.postMessage(message);
  }

  #recoveryOf({ plan, source, metrics }: Serving): Recovery {
    const [engine, loop] = [this.#engine, this.#loop];
    const listener = {
      lost: (error: ClawError): void => {
        metrics.lost();
        this.#setRecovering(true);
        this.#send({ type: "note", text: `What computes was lost and is replaced: ${error.message}` });
      },
      retried: (error: ClawError): void =>
        this.#send({ type: "note", text: `What computes cannot be replaced yet: ${error.message}` }),
      moved: (why: "loss" | "change"): void => {
        metrics.moved(why);
        this.#gaps.moved();
        this.#setRecovering(false);
      },
      gaveUp: (error: ClawError): void => this.#send({ type: "damaged", error: errorData(error) }),
    };
    return new Recovery({ engine, loop, source, listener, delay: (ms) => delay(ms), every }, plan);
  }

  #setRecovering(recovering: boolean): void {
    this.#recovering = recovering;
    this.#reportLoad();
  }

  /** Says how many requests there are, and whether they can run, whenever that has changed. */
  #reportLoad(): void {
    const { running, waiting } = this.#engine.load;
    const [said, recovering] = [this.#load, this.#recovering];
    if (running === said.running && waiting === said.waiting && recovering === said.recovering) return;
    this.#load = { running, waiting, recovering };
    this.#send({ type: "load", load: this.#load });
  }

  #generate({ id, request }: ToEngine & { type: "generate" }): void {
    const listener: GenerationListener = {
      token: (event) => {
        if (event.finish !== undefined) this.#ids.delete(id);
        this.#sender.token(id, event);
      },
      failed: (error) => {
        this.#ids.delete(id);
        this.#reportLoad();
        this.#send({ type: "failed", id, error: errorData(error) });
      },
    };
    try {
      const { running, waiting } = this.#engine.load;
      if (running + waiting === 0) this.#gaps.began();
      this.#ids.set(id, this.#engine.submit(request, listener));
      this.#reportLoad();
      this.#loop.wake();
    } catch (error) {
      listener.failed(asClawError(error));
    }
  }

  #expect(request: GenerationRequest): void {
    this.#engine.expect(request);
    this.#loop.wake();
  }

  #cancel(id: number): void {
    const engineId = this.#ids.get(id);
    if (engineId !== undefined) this.#engine.cancel(engineId);
    this.#ids.delete(id);
    this.#reportLoad();
  }

  /** What may be refused comes first, and the longest last, so that a change happens whole or not at all. */
  async #configure(id: number, change: EngineChange): Promise<void> {
    const { maxBatch, prefillChunkTokens, kvCacheBytes, parallelism } = change;
    try {
      const pages = kvCacheBytes === undefined ? undefined : this.#pagesOf(kvCacheBytes);
      const limits = { batch: maxBatch, prefillChunkTokens, pages };
      this.#engine.checkLimits(limits);
      if (parallelism !== undefined) await this.#recovery.change(parallelism);
      this.#engine.configure(limits);
      this.#send({ type: "configured", id, error: undefined });
    } catch (error) {
      this.#send({ type: "configured", id, error: errorData(asClawError(error)) });
    }
  }

  #pagesOf(bytes: number): number {
    const pages = Math.floor(bytes / this.#pageBytes);
    if (pages >= 1) return pages;
    const told = `${bytes} bytes of KV cache hold no page of ${this.#pageBytes} bytes.`;
    throw new ClawError("E_PARAMETER", told, { param: "kv_cache_bytes" });
  }

  async #close(): Promise<void> {
    this.#recovery.stop();
    await this.#loop.close();
    await this.#recovery.close();
    this.#port.close();
  }
}
