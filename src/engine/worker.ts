/** I/O: the engine's thread. Loads the model, then steps; tokens leave through a ring, all else through its port. */

import { totalmem } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { asClawError, assert, ClawError } from "../base/mod.ts";
import type { Device } from "../kernels/mod.ts";
import { openModelFile, openPackedCache, readAdapter, SealedTensors } from "../model/mod.ts";
import { openDevice } from "./device.ts";
import { Engine } from "./engine.ts";
import { BATCH_PREPARED } from "./limits.ts";
import { EngineLoop } from "./loop.ts";
import { availableMemory } from "./memory.ts";
import { type EngineStart, errorData, type FromEngine, type ToEngine } from "./messages.ts";
import { EngineMetrics } from "./metrics.ts";
import type { GenerationListener } from "./request.ts";
import { createRuntime, type RuntimeOptions } from "./runtime.ts";
import { scrubWeights } from "./scrub-weights.ts";
import { Scrubber } from "./scrubber.ts";
import type { EngineChange, EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";
import { watchPauses } from "./thread-pauses.ts";
import { TokenRing } from "./token-ring.ts";
import { TokenSender } from "./token-sender.ts";

assert(parentPort !== null, "The engine's thread is started as a worker.");
const port = parentPort;

function send(message: FromEngine): void {
  port.postMessage(message);
}

/** Lets the thread's other events in. The promise of `node:timers/promises` costs several times the garbage. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Started {
  readonly engine: Engine;
  readonly device: Device;
  /** Bytes of a KV page. */
  readonly pageBytes: number;
  readonly info: EngineInfo;
  /** Keeps the packed weights for the next start. */
  readonly keep: () => Promise<void>;
  readonly scrubber: Scrubber | undefined;
}

async function start(settings: EngineSettings): Promise<Started> {
  const model = openModelFile(settings.model);
  const { device, warning } = await openDevice(settings);
  const onProgress = (fraction: number): void => send({ type: "loading", fraction });
  const { batch, format, degree = 1, packedCache, prefillChunkTokens, swapBytes } = settings;
  const { prefixCache, prefixShared } = settings;
  const onNote = (text: string): void => send({ type: "note", text });
  const packed = await openPackedCache(device, model, { format, degree, onNote, settings: packedCache });
  const sizes = { ...roomToGrow(settings, device), memoryAvailable: availableMemory };
  const { seal, adapters: folders = [] } = settings;
  const adapters = folders.map(({ name, folder }) => ({ name, ...readAdapter(folder, model.description) }));
  const tensors = seal && (await SealedTensors.open(model, seal, device.files));
  const scrubber = createScrubber(settings, device);
  const onMatrix = (name: string, id: number): void => scrubber?.add(name, id);
  const loading = { onProgress, packed, tensors, adapters, onMatrix };
  const runtime = await createRuntime(device, model, { ...sizes, ...loading });
  await tensors?.finish();
  tensors?.close();
  model.close();
  const { vocabulary } = model.description;
  const { context, kvFormat, pages, pagesMax, pageBytes, executable } = runtime;
  const clock = (): number => performance.now();
  const limits = { vocabulary, batch, prefillChunkTokens, swapBytes, prefixCache, prefixShared };
  const engine = new Engine({ ...runtime, ...limits, clock });
  const memory = device.memory();
  const info: EngineInfo = {
    device: device.name,
    threads: device.threads,
    format,
    kvFormat,
    context,
    batch,
    batchMax: executable.step.outputs.length,
    vocabulary,
    adapters: adapters.map(({ name, digest }) => ({ name, digest })),
    weightBytes: memory.weights,
    weights: packed?.complete === true ? "cache" : "model",
    kvBytes: pages * pageBytes,
    kvBytesMax: pagesMax * pageBytes,
    bufferBytes: memory.buffers,
    warning,
  };
  return { engine, device, pageBytes, info, keep: async () => packed?.save(), scrubber };
}

function createScrubber(
  { scrubBytesPerSecond = 0 }: EngineSettings,
  { packed }: Device,
): Scrubber | undefined {
  return scrubBytesPerSecond > 0 && packed !== undefined ? new Scrubber(packed) : undefined;
}

/** The settings with what the engine is prepared for beyond what it begins with. The reference has no memory to spare. */
function roomToGrow({ adapters: _, ...settings }: EngineSettings, device: Device): RuntimeOptions {
  const { batch, rows } = settings;
  const batchMax = Math.max(batch, settings.batchMax ?? Math.min(BATCH_PREPARED, rows));
  const kvBytesMax = settings.kvBytesMax ?? (device.name === "reference" ? undefined : totalmem());
  return { ...settings, batchMax, kvBytesMax };
}

/** Says how many requests there are whenever that has changed. */
function createLoadReport(engine: Engine): () => void {
  let said: EngineLoad = { running: 0, waiting: 0 };
  return () => {
    const { running, waiting } = engine.load;
    if (running === said.running && waiting === said.waiting) return;
    said = { running, waiting };
    send({ type: "load", load: said });
  };
}

/** Answers the messages of the client. */
class Service {
  readonly #engine: Engine;
  readonly #device: Device;
  readonly #pageBytes: number;
  readonly #sender: TokenSender;
  readonly #loop: EngineLoop;
  readonly #reportLoad: () => void;
  /** Settles when the packed weights are kept for the next start. */
  readonly #kept: Promise<void>;
  /** Engine ids by the client's ids. */
  readonly #ids = new Map<number, number>();

  constructor(
    { engine, device, pageBytes, keep, scrubber }: Started,
    { metrics, ring, settings }: EngineStart,
  ) {
    this.#engine = engine;
    this.#device = device;
    this.#pageBytes = pageBytes;
    this.#sender = new TokenSender(new TokenRing(ring), send);
    this.#loop = new EngineLoop(engine, nextTurn);
    this.#reportLoad = createLoadReport(engine);
    this.#kept = keep();
    const counted = new EngineMetrics(metrics);
    engine.observe(counted);
    watchPauses(counted);
    if (scrubber !== undefined) {
      const onDamage = (error: ClawError): void => send({ type: "damaged", error: errorData(error) });
      scrubWeights(scrubber, {
        bytesPerSecond: settings.scrubBytesPerSecond ?? 0,
        metrics: counted,
        onDamage,
      });
    }
    engine.observe({ stepped: this.#reportLoad, idled: this.#reportLoad });
    engine.observe({ stepped: () => this.#sender.flush() });
  }

  receive(message: ToEngine): void {
    if (message.type === "generate") this.#generate(message);
    else if (message.type === "cancel") this.#cancel(message.id);
    else if (message.type === "configure") this.#configure(message.id, message.change);
    else if (message.type === "received") this.#sender.confirmed();
    else void this.#close();
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
        send({ type: "failed", id, error: errorData(error) });
      },
    };
    try {
      this.#ids.set(id, this.#engine.submit(request, listener));
      this.#reportLoad();
      this.#loop.wake();
    } catch (error) {
      listener.failed(asClawError(error));
    }
  }

  #cancel(id: number): void {
    const engineId = this.#ids.get(id);
    if (engineId !== undefined) this.#engine.cancel(engineId);
    this.#ids.delete(id);
    this.#reportLoad();
  }

  #configure(id: number, { maxBatch, prefillChunkTokens, kvCacheBytes }: EngineChange): void {
    try {
      const pages = kvCacheBytes === undefined ? undefined : this.#pagesOf(kvCacheBytes);
      this.#engine.configure({ batch: maxBatch, prefillChunkTokens, pages });
      send({ type: "configured", id, error: undefined });
    } catch (error) {
      send({ type: "configured", id, error: errorData(asClawError(error)) });
    }
  }

  #pagesOf(bytes: number): number {
    const pages = Math.floor(bytes / this.#pageBytes);
    if (pages >= 1) return pages;
    const told = `${bytes} bytes of KV cache hold no page of ${this.#pageBytes} bytes.`;
    throw new ClawError("E_PARAMETER", told, { param: "kv_cache_bytes" });
  }

  async #close(): Promise<void> {
    await this.#loop.close();
    await this.#kept;
    this.#device.close();
    port.close();
  }
}

try {
  const begin = workerData as EngineStart;
  const started = await start(begin.settings);
  const service = new Service(started, begin);
  port.on("message", (message: ToEngine) => service.receive(message));
  send({ type: "ready", info: started.info });
} catch (error) {
  send({ type: "refused", error: errorData(asClawError(error)) });
}
