/** I/O: the engine's thread. Loads the model, then steps; everything it says goes through its message port. */

import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { asClawError, assert } from "../base/mod.ts";
import type { Device } from "../kernels/mod.ts";
import { openModelFile, openPackedCache } from "../model/mod.ts";
import { openDevice } from "./device.ts";
import { Engine } from "./engine.ts";
import { EngineLoop } from "./loop.ts";
import { availableMemory } from "./memory.ts";
import { errorData, type FromEngine, type ToEngine } from "./messages.ts";
import type { GenerationListener } from "./request.ts";
import { createRuntime } from "./runtime.ts";
import type { EngineInfo, EngineLoad, EngineSettings } from "./settings.ts";

assert(parentPort !== null, "The engine's thread is started as a worker.");
const port = parentPort;

function send(message: FromEngine): void {
  port.postMessage(message);
}

interface Started {
  readonly engine: Engine;
  readonly device: Device;
  readonly info: EngineInfo;
  /** Keeps the packed weights for the next start. */
  readonly keep: () => Promise<void>;
}

async function start(settings: EngineSettings): Promise<Started> {
  const model = openModelFile(settings.model);
  const { device, warning } = await openDevice(settings);
  const onProgress = (fraction: number): void => send({ type: "loading", fraction });
  const { batch, rows, format, degree = 1, packedCache } = settings;
  const onNote = (text: string): void => send({ type: "note", text });
  const task = { format, degree, onNote, settings: packedCache };
  const packed = await openPackedCache(device, model, task);
  const runtime = await createRuntime(device, model, {
    ...settings,
    onProgress,
    packed,
    memoryAvailable: availableMemory(),
  });
  model.close();
  const { vocabulary } = model.description;
  const { context, pages, executable, kvFormat } = runtime;
  const engine = new Engine({ executable, vocabulary, context, batch, rows, pages });
  const memory = device.memory();
  const info: EngineInfo = {
    device: device.name,
    threads: device.threads,
    format,
    kvFormat,
    context,
    batch,
    vocabulary,
    weightBytes: memory.weights,
    weights: packed?.complete === true ? "cache" : "model",
    kvBytes: memory.kv,
    bufferBytes: memory.buffers,
    warning,
  };
  return { engine, device, info, keep: async () => packed?.save() };
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

function serve({ engine, device, keep }: Started): void {
  const kept = keep();
  const loop = new EngineLoop(engine, setImmediate);
  const reportLoad = createLoadReport(engine);
  engine.onStep(reportLoad);
  /** Engine ids by the client's ids. */
  const ids = new Map<number, number>();
  const generate = ({ id, request }: ToEngine & { type: "generate" }): void => {
    const listener: GenerationListener = {
      token: (event) => {
        if (event.finish !== undefined) ids.delete(id);
        send({ type: "token", id, event });
      },
      failed: (error) => {
        ids.delete(id);
        reportLoad();
        send({ type: "failed", id, error: errorData(error) });
      },
    };
    try {
      ids.set(id, engine.submit(request, listener));
      reportLoad();
      loop.wake();
    } catch (error) {
      listener.failed(asClawError(error));
    }
  };
  const cancel = (id: number): void => {
    const engineId = ids.get(id);
    if (engineId !== undefined) engine.cancel(engineId);
    ids.delete(id);
    reportLoad();
  };
  const close = async (): Promise<void> => {
    await loop.close();
    await kept;
    device.close();
    port.close();
  };
  port.on("message", (message: ToEngine) => {
    if (message.type === "generate") generate(message);
    else if (message.type === "cancel") cancel(message.id);
    else void close();
  });
}

try {
  const started = await start(workerData as EngineSettings);
  serve(started);
  send({ type: "ready", info: started.info });
} catch (error) {
  send({ type: "refused", error: errorData(asClawError(error)) });
}
