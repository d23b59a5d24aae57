/** I/O: runtimes in the engine's own process: a device, and all of the model on it. */

import { totalmem } from "node:os";
import { ClawError } from "../base/mod.ts";
import type { Device } from "../kernels/mod.ts";
import { type OpenedFile, openModelFile, openPackedCache, readAdapter, SealedTensors } from "../model/mod.ts";
import { type OpenedDevice, openDevice } from "./device.ts";
import { BATCH_PREPARED } from "./limits.ts";
import { availableMemory } from "./memory.ts";
import { createRuntime, type Runtime, type RuntimeOptions, sameSizes } from "./runtime.ts";
import type { OpenRuntime, Parallelism, RuntimeSource } from "./runtime-source.ts";
import { type Scrubbing, scrubWeights } from "./scrub-weights.ts";
import { Scrubber } from "./scrubber.ts";
import type { EngineSettings } from "./settings.ts";

/** Who hears of what a source does. */
export interface SourceListener extends Pick<Scrubbing, "metrics" | "onDamage"> {
  /** Fraction of the weights loaded. */
  readonly onProgress: (fraction: number) => void;
  /** Something the operator should know; the work goes on. */
  readonly onNote: (text: string) => void;
}

type Packed = Awaited<ReturnType<typeof openPackedCache>>;

interface Loaded {
  readonly runtime: Runtime;
  readonly packed: Packed;
  readonly scrubber: Scrubber | undefined;
}

/** What computes here is lost with the process, and not before. */
const NEVER_LOST = new AbortController().signal;

export class LocalSource implements RuntimeSource {
  readonly #settings: EngineSettings;
  readonly #listener: SourceListener;
  /** Of the first runtime: those after it are as large. */
  #sizes: Partial<RuntimeOptions> | undefined;

  constructor(settings: EngineSettings, listener: SourceListener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  async open({ tensor, pipeline }: Parallelism): Promise<OpenRuntime> {
    if (pipeline !== 1) {
      const told = `The model cannot be split into ${pipeline} stages within one process`;
      throw new ClawError("E_PLACEMENT", `${told}; let its ranks be processes (ranks.run_in).`);
    }
    const opened = await openDevice(this.#settings);
    const model = openModelFile(this.#settings.model);
    try {
      const loaded = await this.#load(opened.device, model, tensor);
      this.#sizes ??= sameSizes(loaded.runtime);
      return this.#running(opened, loaded);
    } catch (error) {
      opened.device.close();
      throw error;
    } finally {
      model.close();
    }
  }

  async close(): Promise<void> {}

  async #load(device: Device, model: OpenedFile, degree: number): Promise<Loaded> {
    const { format, packedCache, seal, adapters: folders = [], scrubBytesPerSecond = 0 } = this.#settings;
    const { onNote, onProgress } = this.#listener;
    const packed = await openPackedCache(device, model, { format, degree, onNote, settings: packedCache });
    const adapters = folders.map(({ name, folder }) => ({ name, ...readAdapter(folder, model.description) }));
    const tensors = seal && (await SealedTensors.open(model, seal, device.files));
    const scrubbed = scrubBytesPerSecond > 0 ? device.packed : undefined;
    const scrubber = scrubbed && new Scrubber(scrubbed);
    const onMatrix = (name: string, id: number): void => scrubber?.add(name, id);
    const sizes = { ...roomToGrow(this.#settings, device), memoryAvailable: availableMemory, ...this.#sizes };
    const loading = { degree, onProgress, packed, tensors, adapters, onMatrix };
    const runtime = await createRuntime(device, model, { ...sizes, ...loading });
    await tensors?.finish();
    tensors?.close();
    return { runtime, packed, scrubber };
  }

  #running({ device, warning }: OpenedDevice, { runtime, packed, scrubber }: Loaded): OpenRuntime {
    const { scrubBytesPerSecond: bytesPerSecond = 0 } = this.#settings;
    const stop = scrubber && scrubWeights(scrubber, { bytesPerSecond, ...this.#listener });
    // Packed weights are kept for the next start while the engine runs already.
    const kept = packed?.save();
    const close = async (): Promise<void> => {
      stop?.();
      await kept;
      device.close();
    };
    const { name, threads } = device;
    const { weights: weightBytes, buffers: bufferBytes } = device.memory();
    const weights = packed?.complete === true ? "cache" : "model";
    const report = { device: name, threads, weightBytes, bufferBytes, weights, warning } as const;
    return { ...runtime, report, lost: NEVER_LOST, close };
  }
}

/** The settings with what the engine is prepared for beyond what it begins with. The reference has no memory to spare. */
function roomToGrow({ adapters: _, ...settings }: EngineSettings, device: Device): RuntimeOptions {
  return { ...settings, ...preparedFor(settings, device.name === "reference") };
}

/** The most that a batch and a KV cache may grow to. */
export function preparedFor(
  { batch, batchMax, rows, kvBytesMax }: EngineSettings,
  isReference: boolean,
): { readonly batchMax: number; readonly kvBytesMax: number | undefined } {
  return {
    batchMax: Math.max(batch, batchMax ?? Math.min(BATCH_PREPARED, rows)),
    kvBytesMax: kvBytesMax ?? (isReference ? undefined : totalmem()),
  };
}
