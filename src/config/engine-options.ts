/** The options of every command that computes. */

import {
  CONTEXT_MAX,
  DEGREE_MAX,
  MAX_BATCH_DEFAULT,
  MAX_BATCH_MAX,
  PREFILL_CHUNK_MAX,
  THREADS_MAX,
} from "./limits.ts";
import { booleanOption, choiceOption, numberOption, type OptionTable, textOption } from "./option.ts";

export interface ModelOptions {
  readonly model: string | undefined;
}

export interface DeviceOptions {
  readonly format: "f16" | "i8" | "i4";
  readonly kvFormat: "f16" | "f32" | "i8" | undefined;
  readonly device: "auto" | "native" | "reference";
  readonly threads: number | undefined;
  readonly pinThreads: "auto" | "always" | "never";
  readonly tensorParallelismDegree: number;
  readonly lockMemory: boolean;
  readonly packedCache: boolean;
  readonly verifyCache: boolean;
  readonly cacheBytes: number | undefined;
}

export interface EngineOptions extends DeviceOptions {
  readonly context: number | undefined;
  readonly maxBatch: number;
  readonly kvCacheBytes: number | undefined;
  readonly kvSwapBytes: number | undefined;
  readonly prefillChunkTokens: number | undefined;
  readonly prefixCache: boolean;
  readonly prefixShared: boolean;
}

export const modelOptions: OptionTable<ModelOptions> = {
  model: textOption({
    flag: "model",
    name: "model",
    placeholder: "FILE",
    meaning: "the GGUF model",
    default: undefined,
    otherwise: "the one in models/",
  }),
};

export const deviceOptions: OptionTable<DeviceOptions> = {
  format: choiceOption({
    flag: "format",
    name: "precision",
    meaning: "how weights are held: half floats, 8-bit or 4-bit integers",
    choices: ["f16", "i8", "i4"],
    default: "i8",
    code: "E_FORMAT",
  }),
  kvFormat: choiceOption({
    flag: "kv-format",
    name: "kv_format",
    meaning: "how keys and values are kept; answers depend on it",
    choices: ["f16", "f32", "i8"],
    default: undefined,
    otherwise: "f32 beside f16 weights, else f16",
  }),
  device: choiceOption({
    flag: "device",
    name: "device",
    meaning: "what computes: the native core, the TypeScript reference, or the first that works",
    choices: ["auto", "native", "reference"],
    default: "auto",
  }),
  threads: numberOption({
    flag: "threads",
    name: "threads",
    unit: "threads",
    meaning: "threads that compute; docs/internals/threads.md says how they share the cores with HTTP",
    range: [1, THREADS_MAX],
    default: undefined,
    otherwise: "one per core",
  }),
  pinThreads: choiceOption({
    flag: "pin-threads",
    name: "pin_threads",
    meaning:
      "whether each compute thread stays on a core of its own; auto: where they fill at least half of the cores and fit",
    choices: ["auto", "always", "never"],
    default: "auto",
  }),
  tensorParallelismDegree: numberOption({
    flag: "tensor-parallelism-degree",
    name: "tensor_parallelism_degree",
    unit: "shards",
    live: true,
    meaning: "shards that every layer is split into; the answers are the same",
    range: [1, DEGREE_MAX],
    default: 1,
  }),
  lockMemory: booleanOption({
    flag: "lock-memory",
    name: "lock_memory",
    meaning: "keep weights, KV cache and buffers out of swap",
    default: false,
  }),
  packedCache: booleanOption({
    flag: "no-cache",
    name: "packed_cache.enabled",
    meaning: "whether packed weights are kept between starts and used",
    flagMeaning: "neither use nor keep packed weights between starts",
    default: true,
  }),
  verifyCache: booleanOption({
    flag: "verify-cache",
    name: "packed_cache.verify",
    meaning: "read the whole model to be sure that kept packed weights are its own",
    default: false,
  }),
  cacheBytes: numberOption({
    flag: "cache-bytes",
    name: "packed_cache.bytes_max",
    unit: "bytes",
    meaning: "size of the folder of packed weights, in bytes; those used longest ago give way",
    range: [0, Number.MAX_SAFE_INTEGER],
    default: undefined,
    otherwise: "64 GiB, at most half of the free disk",
  }),
};

export const engineOptions: OptionTable<EngineOptions> = {
  ...deviceOptions,
  context: numberOption({
    flag: "context",
    name: "context",
    unit: "tokens",
    meaning: "positions a sequence may have, in tokens",
    range: [2, CONTEXT_MAX],
    default: undefined,
    otherwise: "the model's, at most 8192",
  }),
  maxBatch: numberOption({
    flag: "max-batch",
    name: "max_batch_size",
    unit: "sequences",
    live: true,
    meaning: "sequences that run together",
    range: [1, MAX_BATCH_MAX],
    default: MAX_BATCH_DEFAULT,
  }),
  kvCacheBytes: numberOption({
    flag: "kv-cache-bytes",
    name: "kv_cache_bytes",
    unit: "bytes",
    live: true,
    meaning: "size of the KV cache, in bytes",
    range: [1, Number.MAX_SAFE_INTEGER],
    default: undefined,
    otherwise: "every sequence at full context, at most 1 GiB",
  }),
  kvSwapBytes: numberOption({
    flag: "kv-swap-bytes",
    name: "kv_swap_bytes",
    unit: "bytes",
    meaning:
      "memory beside the KV cache for pages of sequences that had to give theirs up; 0 computes them again",
    range: [0, Number.MAX_SAFE_INTEGER],
    default: undefined,
    otherwise: "1 GiB, taken as it is needed",
  }),
  prefillChunkTokens: numberOption({
    flag: "prefill-chunk-tokens",
    name: "prefill_chunk_tokens",
    unit: "tokens",
    live: true,
    meaning:
      "prompt tokens in a step beside decoding sequences, at most; the engine takes fewer where they would stall those",
    range: [1, PREFILL_CHUNK_MAX],
    default: undefined,
    otherwise: "as many as a step has rows, 256 or more",
  }),
  prefixCache: booleanOption({
    flag: "no-prefix-cache",
    name: "prefix_cache.enabled",
    meaning: "whether requests of a tenant that begin alike share the work on it; the answers are the same",
    flagMeaning: "do the work on every prompt anew",
    default: true,
  }),
  prefixShared: booleanOption({
    flag: "share-prefixes",
    name: "prefix_cache.shared",
    meaning:
      "whether tenants share that work with each other, too: a tenant can then tell by the time that a prompt was asked before",
    default: false,
  }),
};
