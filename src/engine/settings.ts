/** How an engine is to be started; plain data, so that it crosses to the engine's thread. */

import type { KvFormat, WeightFormat } from "../kernels/mod.ts";
import type { PackedCacheSettings } from "../model/mod.ts";

export interface EngineSettings {
  readonly model: string;
  readonly format: WeightFormat;
  /** `auto` takes the native core and falls back to the TypeScript reference. */
  readonly device: "auto" | "native" | "reference";
  /** Compute threads; undefined: one per core this process may use. */
  readonly threads?: number | undefined;
  readonly context?: number | undefined;
  readonly batch: number;
  readonly rows: number;
  readonly kvFormat?: KvFormat | undefined;
  readonly kvBytes?: number | undefined;
  readonly degree?: number | undefined;
  /** Whether weights, KV cache and buffers are kept out of swap. */
  readonly lockMemory?: boolean | undefined;
  /** Where packed weights are kept between starts; undefined: nowhere. */
  readonly packedCache?: PackedCacheSettings | undefined;
}

/** What a started engine is. */
export interface EngineInfo {
  readonly device: string;
  readonly threads: number;
  readonly format: WeightFormat;
  readonly kvFormat: KvFormat;
  readonly context: number;
  readonly batch: number;
  readonly vocabulary: number;
  readonly weightBytes: number;
  /** Where the packed weights came from. */
  readonly weights: "cache" | "model";
  readonly kvBytes: number;
  readonly bufferBytes: number;
  /** Something the operator should know, such as a fallback to the reference. */
  readonly warning: string | undefined;
}

/** Requests in an engine. */
export interface EngineLoad {
  readonly running: number;
  readonly waiting: number;
}
