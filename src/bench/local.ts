/** Our side: a model on the native core, driven step by step through the device contract, without an engine. */

import { createRuntime, openDevice, type Runtime } from "../engine/mod.ts";
import { type Device, KV_PAGE_TOKENS, type WeightFormat } from "../kernels/mod.ts";
import { type OpenedFile, openModelFile, openPackedCache } from "../model/mod.ts";
import { FILL_ROWS } from "./limits.ts";
import type { ProgressListener } from "./preset.ts";
import {
  checkRows,
  type DecodePlace,
  decodeStep,
  fillPages,
  type SequenceShape,
  tokenAt,
} from "./stepping.ts";
import { FIRST, kvWriteProgram, SECOND } from "./tapes.ts";

/** Bytes of a kept key or value: the peer keeps half floats, and so do we whatever the weights are. */
const KV_VALUE_BYTES = 2;

export interface LocalOptions {
  readonly path: string;
  readonly format: WeightFormat;
  /** Undefined: one per core. */
  readonly threads: number | undefined;
  readonly sequences: number;
  /** Positions of each sequence. */
  readonly context: number;
  /** Token rows in a step. */
  readonly rows: number;
  readonly onProgress: ProgressListener;
  /** Packed weights of an earlier start are taken from here; undefined: the model is packed. */
  readonly packedFolder?: string | undefined;
}

/** Opens the native core. E_NATIVE where there is none: the reference is not worth measuring. */
export async function openNative(threads: number | undefined): Promise<Device> {
  return (await openDevice({ device: "native", threads })).device;
}

export class LocalModel {
  readonly device: Device;
  readonly file: OpenedFile;
  /** Entries of a sequence's page table. */
  readonly pagesPerSequence: number;
  readonly #runtime: Runtime;
  readonly #options: LocalOptions;

  private constructor(device: Device, file: OpenedFile, rest: { runtime: Runtime; options: LocalOptions }) {
    this.device = device;
    this.file = file;
    this.#runtime = rest.runtime;
    this.#options = rest.options;
    this.pagesPerSequence = Math.ceil(rest.options.context / KV_PAGE_TOKENS);
    fillPages(this.#runtime.executable);
  }

  /** Loads the model. Errors: all that loading refuses, and E_CONTEXT. */
  static async open(options: LocalOptions): Promise<LocalModel> {
    const { path, format, context, sequences, rows, onProgress } = options;
    const file = openModelFile(path);
    const device = await openNative(options.threads);
    const pages = Math.ceil(context / KV_PAGE_TOKENS) * sequences;
    const settings =
      options.packedFolder === undefined ? undefined : { folder: options.packedFolder, verify: false };
    const packed = await openPackedCache(device, file, { format, degree: 1, settings, onNote: () => {} });
    const runtime = await createRuntime(device, file, {
      format,
      packed,
      context,
      batch: sequences,
      rows: Math.max(rows, sequences),
      kvFormat: "f16",
      kvBytes: pages * KV_PAGE_TOKENS * kvBytesPerPosition(file),
      onProgress,
    });
    await packed?.save();
    return new LocalModel(device, file, { runtime, options });
  }

  /** Puts keys and values at the first `count` positions of every sequence; nothing depends on what they are. */
  async fill(count: number): Promise<void> {
    const { description } = this.file;
    const limits = { rows: FILL_ROWS, outputs: 1, pageEntries: this.#pageEntries() };
    const writer = this.device.prepare(kvWriteProgram(description), limits);
    fillPages(writer);
    const values = noise(FILL_ROWS * description.kvHeads * description.headDim);
    writer.writeBuffer(FIRST, values);
    writer.writeBuffer(SECOND, values);
    for (let sequence = 0; sequence < this.#options.sequences; sequence++) {
      for (let first = 0; first < count; first += FILL_ROWS) {
        const rows = Math.min(FILL_ROWS, count - first);
        for (let row = 0; row < rows; row++) {
          writer.step.positions[row] = first + row;
          writer.step.pageStart[row] = sequence * this.pagesPerSequence;
        }
        await writer.execute(rows, 0);
      }
    }
  }

  /** One step that feeds a token to each of some sequences and computes their logits. */
  decode(place: DecodePlace): Promise<void> {
    return decodeStep(this.#runtime.executable, place, this.#shape());
  }

  /** Reads a prompt of `count` tokens in steps of `rows`, with the logits of the last token. */
  async prefill(count: number, rows: number): Promise<void> {
    const { step } = this.#runtime.executable;
    for (let first = 0; first < count; first += rows) {
      const fed = Math.min(rows, count - first);
      for (let row = 0; row < fed; row++) {
        step.tokens[row] = tokenAt(0, first + row, this.file.description.vocabulary);
        step.positions[row] = first + row;
        step.pageStart[row] = 0;
      }
      const last = first + fed === count;
      step.outputs[0] = fed - 1;
      await this.#runtime.executable.execute(fed, last ? 1 : 0);
      checkRows(this.#runtime.executable, fed);
    }
  }

  close(): void {
    this.device.close();
    this.file.close();
  }

  #shape(): SequenceShape {
    return { pages: this.pagesPerSequence, vocabulary: this.file.description.vocabulary };
  }

  #pageEntries(): number {
    return this.pagesPerSequence * this.#options.sequences;
  }
}

/** Bytes of keys and values of all layers at one position. */
export function kvBytesPerPosition({ description }: OpenedFile): number {
  return description.layers * description.kvHeads * description.headDim * 2 * KV_VALUE_BYTES;
}

/** Values in [-1, 1) that no kernel finds special. */
export function noise(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >> 8) / 2 ** 23);
}
