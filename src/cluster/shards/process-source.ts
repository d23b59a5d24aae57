/** I/O: runtimes whose ranks are processes of this machine, each split evenly. A rank may die and take nothing with it. */

import { availableParallelism } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { assert } from "../../base/mod.ts";
import {
  availableMemory,
  type EngineSettings,
  type OpenRuntime,
  type Parallelism,
  preparedFor,
  type RuntimeOptions,
  type RuntimeSource,
  type SourceListener,
  type SourceSettings,
  sameSizes,
} from "../../engine/mod.ts";
import type { WeightFormat } from "../../kernels/mod.ts";
import {
  compile,
  type OpenedFile,
  openModelFile,
  type Placement,
  proportionalPlacement,
  type RankProgram,
} from "../../model/mod.ts";
import { SPARE_PAUSE_MS } from "./limits.ts";
import { type NodesOptions, startNodes } from "./nodes.ts";
import { refuseAdapters } from "./placed-runtime.ts";
import { SparedSource } from "./spared-source.ts";

/** What such a source is told beside the engine's settings: plain data. */
export interface ProcessRanks {
  /** What starts `claw`, before its arguments. */
  readonly command: readonly string[];
  /** Whether ranks are kept ready to take over from those that run. */
  readonly spare: boolean;
  /** What their processes are linked by. */
  readonly link: "shared" | "tcp";
}

/** For the settings of an engine whose ranks are to be processes. */
export function rankProcesses(options: ProcessRanks): SourceSettings {
  return { module: new URL("./worker.ts", import.meta.url).href, options };
}

/** The source that these settings ask for. */
export function processSource(settings: EngineSettings, listener: SourceListener): RuntimeSource {
  assert(settings.source !== undefined, "Who started this thread said how ranks are started.");
  const ranks = settings.source.options as ProcessRanks;
  const source = new ProcessSource(settings, listener, ranks);
  if (!ranks.spare) return source;
  return new SparedSource(source, {
    pause: () => delay(SPARE_PAUSE_MS, undefined, { ref: false }),
    onMissing: ({ message }) => listener.onNote(`No ranks are kept ready: ${message}`),
  });
}

class ProcessSource implements RuntimeSource {
  readonly #settings: EngineSettings;
  readonly #listener: SourceListener;
  readonly #ranks: ProcessRanks;
  /** Of the first runtime: those after it are as large. */
  #sizes: Partial<RuntimeOptions> | undefined;
  readonly #beatIntervals: number[] = [];
  /** Its header, read once. */
  #model: OpenedFile | undefined;

  constructor(settings: EngineSettings, listener: SourceListener, ranks: ProcessRanks) {
    this.#settings = settings;
    this.#listener = listener;
    this.#ranks = ranks;
  }

  async open({ tensor, pipeline }: Parallelism): Promise<OpenRuntime> {
    refuseAdapters(this.#settings.adapters?.length ?? 0);
    this.#model ??= openModelFile(this.#settings.model);
    const model = this.#model;
    const one = (count: number): number[] => new Array(count).fill(1);
    const shares = { stages: one(pipeline), shards: one(tensor) };
    const placement = proportionalPlacement(model.description, shares);
    const runtime = await startNodes(model, this.#options(model, placement));
    this.#sizes ??= sameSizes(runtime);
    this.#listener.onProgress(1);
    return runtime;
  }

  async close(): Promise<void> {
    this.#model?.close();
  }

  #options({ description }: OpenedFile, placement: Placement): NodesOptions {
    const { adapters: _, ...settings } = this.#settings;
    const { format, threads = availableParallelism() } = settings;
    const weights = weightBytes(compile(description, { format, placement }), format);
    const available = (): number | undefined => {
      const free = availableMemory();
      return free === undefined ? undefined : Math.max(0, free - weights);
    };
    const ranks = placement.stages.reduce((sum, { shards }) => sum + shards.length, 0);
    return {
      ...settings,
      ...preparedFor(settings, settings.device === "reference"),
      memoryAvailable: available,
      ...this.#sizes,
      placement,
      beatIntervals: this.#beatIntervals,
      command: this.#ranks.command,
      driver: this.#ranks.link,
      threads: Math.max(1, Math.floor(threads / ranks)),
      onWords: this.#listener.onNote,
    };
  }
}

/** About what ranks take for their weights, before they have taken it. */
function weightBytes(programs: readonly RankProgram[], format: WeightFormat): number {
  const perWeight = { f16: 2, i8: 1.07, i4: 0.57 }[format];
  const weights = programs
    .flatMap(({ matrices }) => matrices)
    .reduce((sum, spec) => {
      const { rowRange, segmentRange, columns, segments } = spec;
      return sum + (rowRange[1] - rowRange[0]) * (segmentRange[1] - segmentRange[0]) * (columns / segments);
    }, 0);
  return Math.ceil(perWeight * weights);
}
