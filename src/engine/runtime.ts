/** A model on a device, ready to run: its weights loaded, its KV cache sized, its step program prepared. */

import { ClawError } from "../base/mod.ts";
import {
  type Device,
  type Executable,
  KV_PAGE_TOKENS,
  type KvFormat,
  type WeightFormat,
} from "../kernels/mod.ts";
import { evenShards, loadProgram, type OpenedFile, type PackedStore } from "../model/mod.ts";
import { CONTEXT_DEFAULT, KV_BYTES_DEFAULT } from "./limits.ts";

export interface RuntimeOptions {
  readonly format: WeightFormat;
  /** Positions a sequence may have; undefined: the model's, at most CONTEXT_DEFAULT. */
  readonly context?: number | undefined;
  /** Sequences that run together. */
  readonly batch: number;
  /** Token rows in a step. */
  readonly rows: number;
  /** Rows with logits in a step; undefined: one for each sequence. */
  readonly outputs?: number | undefined;
  /** How keys and values are kept; undefined: `f32` beside `f16` weights, the high-precision tier, else `f16`. */
  readonly kvFormat?: KvFormat | undefined;
  /** Bytes of KV cache; undefined: every sequence at full context, at most KV_BYTES_DEFAULT. */
  readonly kvBytes?: number | undefined;
  /** Tensor-parallel shards within this process; 1 unless told otherwise. The bits are the same. */
  readonly degree?: number | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Bytes that this process may still take; undefined: not known. The KV cache never takes more. */
  readonly memoryAvailable?: number | undefined;
  /** A cache of packed weights. */
  readonly packed?: PackedStore | undefined;
}

export interface Runtime {
  readonly executable: Executable;
  /** Positions a sequence may have, and that the KV cache can hold. */
  readonly context: number;
  /** KV pages allocated. */
  readonly pages: number;
  readonly kvFormat: KvFormat;
}

/** Loads a model onto a device. E_CONTEXT, E_MEMORY, and what loading refuses. */
export async function createRuntime(
  device: Device,
  model: OpenedFile,
  options: RuntimeOptions,
): Promise<Runtime> {
  const { description } = model;
  const context = contextOf(description.context, options.context);
  const shards = evenShards(description, options.degree ?? 1);
  const { format, onProgress, packed } = options;
  const program = await loadProgram(device, model, { format, shards, context, onProgress, packed });
  const kvFormat = options.kvFormat ?? (format === "f16" ? "f32" : "f16");
  const pages = pageCount(pageBytes(model, kvFormat), context, options);
  device.allocateKv({
    pages,
    layers: description.layers,
    heads: description.kvHeads,
    headDim: description.headDim,
    format: kvFormat,
  });
  const perSequence = Math.ceil(context / KV_PAGE_TOKENS);
  const executable = device.prepare(program, {
    rows: options.rows,
    outputs: options.outputs ?? options.batch,
    pageEntries: perSequence * options.batch,
  });
  // One sequence alone must be able to fill what is promised.
  return { executable, context: Math.min(context, pages * KV_PAGE_TOKENS), pages, kvFormat };
}

function contextOf(modelContext: number, asked: number | undefined): number {
  if (asked === undefined) return Math.min(modelContext, CONTEXT_DEFAULT);
  if (asked <= modelContext) return asked;
  throw new ClawError(
    "E_CONTEXT",
    `A context of ${asked} was asked for; the model was made for ${modelContext}.`,
  );
}

/** Bytes of one KV page over all layers: keys and values. */
function pageBytes({ description }: OpenedFile, format: KvFormat): number {
  const values = description.layers * description.kvHeads * description.headDim * KV_PAGE_TOKENS * 2;
  return values * (format === "f16" ? 2 : 4);
}

function pageCount(
  bytes: number,
  context: number,
  { batch, kvBytes, memoryAvailable = Infinity }: RuntimeOptions,
): number {
  const perSequence = Math.ceil(context / KV_PAGE_TOKENS);
  // More pages than every running sequence can fill are of no use.
  const useful = perSequence * batch;
  const fitting = Math.floor(memoryAvailable / bytes);
  if (kvBytes === undefined) {
    const usual = Math.max(perSequence, Math.min(useful, Math.floor(KV_BYTES_DEFAULT / bytes)));
    if (fitting >= 1) return Math.min(usual, fitting);
    throw new ClawError("E_MEMORY", `${memoryAvailable} bytes are free; a KV page takes ${bytes}.`);
  }
  const pages = Math.min(useful, Math.floor(kvBytes / bytes));
  if (pages > fitting) {
    throw new ClawError(
      "E_MEMORY",
      `A KV cache of ${kvBytes} bytes was asked for; ${memoryAvailable} are free.`,
    );
  }
  if (pages >= 1) return pages;
  throw new ClawError("E_MEMORY", `${kvBytes} bytes of KV cache hold no page of ${bytes} bytes.`);
}
