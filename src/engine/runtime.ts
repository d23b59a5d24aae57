/** A model on a device, ready to run: its weights loaded, its KV cache sized, its step program prepared. */

import { ClawError } from "../base/mod.ts";
import {
  type Device,
  type Executable,
  KV_PAGE_TOKENS,
  type KvFormat,
  type KvPages,
  kvPageBytes,
  type StepLimits,
  type WeightFormat,
} from "../kernels/mod.ts";
import {
  compileLocal,
  evenShards,
  loadProgram,
  type ModelDescription,
  type OpenedFile,
  type PackedStore,
  type StoredAdapter,
  type TensorReader,
} from "../model/mod.ts";
import { CONTEXT_DEFAULT, KV_BYTES_DEFAULT } from "./limits.ts";
import { pagesFor } from "./sequence.ts";

export interface RuntimeOptions {
  readonly format: WeightFormat;
  /** Positions a sequence may have; undefined: the model's, at most CONTEXT_DEFAULT. */
  readonly context?: number | undefined;
  /** Sequences that run together at first, and the most that ever may; undefined: the same. */
  readonly batch: number;
  readonly batchMax?: number | undefined;
  /** Token rows in a step. */
  readonly rows: number;
  /** Rows with logits in a step; undefined: one for each sequence there may be. */
  readonly outputs?: number | undefined;
  /** How keys and values are kept; undefined: `f32` beside `f16` weights, the high-precision tier, else `f16`. */
  readonly kvFormat?: KvFormat | undefined;
  /** Bytes of KV cache; undefined: every sequence at full context, at most KV_BYTES_DEFAULT. */
  readonly kvBytes?: number | undefined;
  /** What it may grow to: address space, which costs memory only as pages are written. Undefined: no further. */
  readonly kvBytesMax?: number | undefined;
  /** Tensor-parallel shards within this process; 1 unless told otherwise. The bits are the same. */
  readonly degree?: number | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Bytes that this process may still take; undefined: not known. The KV cache never takes more. */
  readonly memoryAvailable?: (() => number | undefined) | undefined;
  /** A cache of packed weights. */
  readonly packed?: PackedStore | undefined;
  /** Checks what is read of the model file. */
  readonly tensors?: TensorReader | undefined;
  /** Requests may ask for one of them; undefined: none. */
  readonly adapters?: readonly StoredAdapter[] | undefined;
  /** Told of each matrix when it is on the device. */
  readonly onMatrix?: ((name: string, id: number) => void) | undefined;
}

/** Copies of KV pages in a form that does not depend on how the model is split. */
export interface PageCopies {
  /** What the form depends on; copies of another kind are of no use. */
  readonly kind: string;
  /** Reads that may be under way at a time; undefined: COPIES_UNDER_WAY_MAX. */
  readonly atOnce?: number | undefined;
  /** Resolves to a copy of the page as it is at the time of the call, whatever follows. */
  read(page: number): Promise<Uint8Array>;
  /** Makes a page what was copied, before anything that follows what this resolves to. `bytes` stays as it is until then. */
  write(page: number, bytes: Uint8Array): Promise<void>;
}

export interface Runtime {
  readonly executable: Executable;
  /** As in EngineRuntime. */
  readonly beside?: readonly Executable[] | undefined;
  readonly laneSequences?: number | undefined;
  readonly kv: KvPages;
  /** Positions a sequence may have, and that the KV cache can hold. */
  readonly context: number;
  /** KV pages to be used at first, and those allocated. */
  readonly pages: number;
  readonly pagesMax: number;
  /** Bytes of a page in its format. */
  readonly pageBytes: number;
  readonly kvFormat: KvFormat;
  /** Undefined where pages cannot be copied out. */
  readonly copies?: PageCopies | undefined;
  /** Digests of its adapters; a row of the step block names one by its place, counted from 1. */
  readonly adapters: readonly string[];
}

/** How much of everything a runtime has, before any of it is allocated. */
export interface RuntimeSizes {
  /** Positions the RoPE table covers. */
  readonly positions: number;
  readonly limits: StepLimits;
  /** As in Runtime. */
  readonly context: number;
  readonly pages: number;
  readonly pagesMax: number;
  readonly pageBytes: number;
  readonly kvFormat: KvFormat;
}

/** The sizes of a runtime of this model, on however many devices. E_CONTEXT, E_MEMORY. */
export function sizeRuntime(model: ModelDescription, options: RuntimeOptions): RuntimeSizes {
  const positions = contextOf(model.context, options.context);
  const kvFormat = options.kvFormat ?? (options.format === "f16" ? "f32" : "f16");
  const { layers, kvHeads: heads, headDim } = model;
  const pageBytes = kvPageBytes({ layers, heads, headDim, format: kvFormat });
  const batchMax = Math.max(options.batch, options.batchMax ?? 0);
  const { pages, pagesMax } = pageCounts(pageBytes, positions, { ...options, batchMax });
  const limits = {
    rows: options.rows,
    outputs: options.outputs ?? batchMax,
    pageEntries: pagesFor(positions) * batchMax,
  };
  // One sequence alone must be able to fill what is promised.
  const context = Math.min(positions, pages * KV_PAGE_TOKENS);
  return { positions, limits, context, pages, pagesMax, pageBytes, kvFormat };
}

/** Loads a model onto a device. E_CONTEXT, E_MEMORY, and what loading refuses. */
export async function createRuntime(
  device: Device,
  model: OpenedFile,
  options: RuntimeOptions,
): Promise<Runtime> {
  const { description } = model;
  const { format, onProgress, packed, tensors, adapters = [], onMatrix } = options;
  const shards = evenShards(description, options.degree ?? 1);
  const compiled = compileLocal(description, { format, shards, adapters });
  const context = contextOf(description.context, options.context);
  const loading = { compiled, context, onProgress, packed, tensors, onMatrix };
  const program = await loadProgram(device, model, loading);
  // After the weights have taken their memory.
  const { limits, ...sizes } = sizeRuntime(description, options);
  device.allocateKv({ ...compiled.kv, format: sizes.kvFormat, pages: sizes.pagesMax });
  const executable = device.prepare(program, limits);
  return { ...sizes, executable, kv: device, adapters: adapters.map(({ digest }) => digest) };
}

/** Options by which another runtime of the model becomes as large as this one, whatever memory is free by then. */
export function sameSizes({ pages, pagesMax, pageBytes }: Runtime): Partial<RuntimeOptions> {
  const [kvBytes, kvBytesMax] = [pages * pageBytes, pagesMax * pageBytes];
  return { kvBytes, kvBytesMax, memoryAvailable: undefined };
}

function contextOf(modelContext: number, asked: number | undefined): number {
  if (asked === undefined) return Math.min(modelContext, CONTEXT_DEFAULT);
  if (asked <= modelContext) return asked;
  throw new ClawError(
    "E_CONTEXT",
    `A context of ${asked} was asked for; the model was made for ${modelContext}.`,
  );
}

function pageCounts(
  bytes: number,
  context: number,
  options: RuntimeOptions & { readonly batchMax: number },
): { readonly pages: number; readonly pagesMax: number } {
  const { batch, batchMax, kvBytes, kvBytesMax } = options;
  const free = options.memoryAvailable?.() ?? Number.POSITIVE_INFINITY;
  const perSequence = pagesFor(context);
  // More pages than every running sequence can fill are of no use.
  const useful = perSequence * batch;
  const fitting = Math.floor(free / bytes);
  const usual = Math.max(perSequence, Math.min(useful, Math.floor(KV_BYTES_DEFAULT / bytes)));
  const most = perSequence * batchMax;
  const pages =
    kvBytes === undefined ? Math.min(usual, fitting) : Math.min(most, Math.floor(kvBytes / bytes));
  if (pages > fitting) {
    const asked = `A KV cache of ${kvBytes} bytes was asked for`;
    throw new ClawError("E_MEMORY", `${asked}; ${free} are free.`);
  }
  if (pages < 1) {
    const room = kvBytes === undefined ? `${free} free bytes` : `${kvBytes} bytes of KV cache`;
    throw new ClawError("E_MEMORY", `${room} hold no KV page of ${bytes} bytes.`);
  }
  const growable = Math.min(most, fitting, Math.floor((kvBytesMax ?? 0) / bytes));
  return { pages, pagesMax: Math.max(pages, growable) };
}
