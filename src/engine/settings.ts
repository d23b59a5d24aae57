/** How an engine is to be started; plain data, so that it crosses to the engine's thread. */

import type { KvFormat, ThreadPinning, WeightFormat } from "../kernels/mod.ts";
import type { ModelSeal, PackedCacheSettings } from "../model/mod.ts";
import type { Parallelism } from "./runtime-source.ts";

export interface EngineSettings {
  readonly model: string;
  readonly format: WeightFormat;
  /** `auto` takes the native core and falls back to the TypeScript reference. */
  readonly device: "auto" | "native" | "reference";
  /** Compute threads; undefined: one per core this process may use. */
  readonly threads?: number | undefined;
  readonly pinThreads?: ThreadPinning | undefined;
  readonly context?: number | undefined;
  /** Sequences that run together at first, and what that may be changed to; undefined: BATCH_PREPARED or `batch`. */
  readonly batch: number;
  readonly batchMax?: number | undefined;
  readonly rows: number;
  readonly kvFormat?: KvFormat | undefined;
  /** KV cache at first, and what that may be changed to; undefined: the machine's memory. */
  readonly kvBytes?: number | undefined;
  readonly kvBytesMax?: number | undefined;
  /** Prompt tokens in a step beside decoding sequences, at most; undefined: all the step's rows. */
  readonly prefillChunkTokens?: number | undefined;
  /** Host memory for the pages of preempted sequences. */
  readonly swapBytes?: number | undefined;
  /** Whether requests of a tenant share the pages of what they begin with alike; they do unless told. */
  readonly prefixCache?: boolean | undefined;
  /** Whether tenants share them with each other, too; they do not unless told. */
  readonly prefixShared?: boolean | undefined;
  /** Host memory for copies of running requests' KV pages, by which another runtime goes on; undefined or 0: none. */
  readonly copyBytes?: number | undefined;
  /** A folder for them, which other servers may share, or keep alike; undefined: this process's own memory. */
  readonly copyFolder?: string | undefined;
  /** The root of the model, under which every server of it finds them; undefined: those that open this very file do. */
  readonly copyRoot?: string | undefined;
  /** How many ways the model is split at first; undefined: not at all. */
  readonly parallelism?: Parallelism | undefined;
  /** Where runtimes come from; undefined: the engine's own process. */
  readonly source?: SourceSettings | undefined;
  /** Whether weights, KV cache and buffers are kept out of swap. */
  readonly lockMemory?: boolean | undefined;
  /** Where packed weights are kept between starts; undefined: nowhere. */
  readonly packedCache?: PackedCacheSettings | undefined;
  /** What every byte of the model is checked against while it is loaded; undefined: nothing. */
  readonly seal?: ModelSeal | undefined;
  /** Adapters in PEFT's format that requests may name; undefined: none. */
  readonly adapters?: readonly AdapterFolder[] | undefined;
  /** Resident weights that are looked at again each second; undefined or 0: none. */
  readonly scrubBytesPerSecond?: number | undefined;
}

/** Plain data, like all settings. */
export interface SourceSettings {
  /** The URL of the module that the engine's thread runs: it calls `runEngineThread` with a source of its own. */
  readonly module: string;
  /** What that source is told. */
  readonly options: unknown;
}

export interface AdapterFolder {
  readonly name: string;
  readonly folder: string;
}

/** An adapter that an engine has. */
export interface AdapterInfo {
  readonly name: string;
  /** As requests name it. */
  readonly digest: string;
}

/** What a started engine is. */
export interface EngineInfo {
  readonly device: string;
  readonly threads: number;
  readonly format: WeightFormat;
  readonly kvFormat: KvFormat;
  readonly context: number;
  readonly batch: number;
  /** What `batch` and `kvBytes` can become while the engine runs. */
  readonly batchMax: number;
  readonly kvBytesMax: number;
  readonly vocabulary: number;
  readonly adapters: readonly AdapterInfo[];
  readonly weightBytes: number;
  /** Where the packed weights came from. */
  readonly weights: "cache" | "model";
  readonly kvBytes: number;
  readonly bufferBytes: number;
  /** Something the operator should know, such as a fallback to the reference. */
  readonly warning: string | undefined;
}

/** What may change while an engine runs; what is left out stays. Takes effect between two steps, and changes no bit. */
export interface EngineChange {
  /** Sequences that run together; at most what the engine was started for. */
  readonly maxBatch?: number | undefined;
  /** Prompt tokens in a step beside decoding sequences; the engine takes fewer where they would stall those. */
  readonly prefillChunkTokens?: number | undefined;
  /** Bytes of KV cache; at most what the engine was started for. */
  readonly kvCacheBytes?: number | undefined;
  /** How many ways the model is split. */
  readonly parallelism?: Parallelism | undefined;
}

/** Requests in an engine. */
export interface EngineLoad {
  readonly running: number;
  readonly waiting: number;
  /** Whether they wait for a runtime in place of one that was lost. */
  readonly recovering: boolean;
}
