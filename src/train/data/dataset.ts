/** I/O: reads a dataset's windows, a batch at a time, from its token files. */

import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { attempt } from "../../base/files/mod.ts";
import { assert, at, ClawError } from "../../base/mod.ts";
import { type DatasetIndex, INDEX_NAME, parseIndex, type SplitName, TOKEN_BYTES } from "./dataset-index.ts";
import { INDEX_BYTES_MAX } from "./limits.ts";
import { epochOrder } from "./shuffle.ts";
import { Windows } from "./windows.ts";

/** How far reading has come: `window` windows of epoch `epoch` were given. */
export interface DataCursor {
  readonly epoch: number;
  readonly window: number;
}

/** The target of a place that is not to be predicted: the end of the last window. */
export const NO_TARGET = -1;

/** Errors: E_FILE, E_CORPUS. */
export function readIndex(folder: string): DatasetIndex {
  const path = join(folder, INDEX_NAME);
  return attempt(`Cannot read ${path}`, () => {
    if (statSync(path).size > INDEX_BYTES_MAX)
      throw new ClawError("E_CORPUS", `Reading ${path}: it is too large.`);
    return parseIndex(readFileSync(path, "utf8"), path);
  });
}

export interface DatasetOptions {
  readonly split: SplitName;
  /** Places in a window. */
  readonly context: number;
  /** Chooses each epoch's order; undefined: windows come in the order of the file. */
  readonly seed: number | undefined;
}

/** The windows of a split, epoch after epoch without end. The caller closes it. */
export class Dataset {
  readonly index: DatasetIndex;
  /** Windows in an epoch. */
  readonly windows: number;
  readonly #windows: Windows;
  readonly #seed: number | undefined;
  readonly #descriptor: number;
  readonly #path: string;
  #cursor: DataCursor = { epoch: 0, window: 0 };
  #order: { readonly epoch: number; readonly windows: Uint32Array } | undefined;

  /** Errors: E_FILE; E_CORPUS where the index and the token file contradict each other. */
  constructor(folder: string, { split, context, seed }: DatasetOptions) {
    this.index = readIndex(folder);
    const { tokens, documents } = this.index.splits[split];
    this.#windows = new Windows(documents, tokens, context);
    this.windows = this.#windows.count;
    this.#seed = seed;
    this.#path = join(folder, `${split}.tokens`);
    this.#descriptor = attempt(`Cannot read ${this.#path}`, () => openSync(this.#path, "r"));
    const { size } = fstatSync(this.#descriptor);
    if (size === tokens * TOKEN_BYTES && this.windows > 0) return;
    this.close();
    const found = `${size} bytes, and its index says ${tokens} tokens`;
    throw new ClawError("E_CORPUS", `Reading ${this.#path}: it has ${found}. Encode the corpus again.`);
  }

  /** Where the next window comes from. */
  get cursor(): DataCursor {
    return this.#cursor;
  }

  /** Goes on from where another reader of the same split, context and seed was. Errors: E_CHECKPOINT. */
  seek(cursor: DataCursor): void {
    const { epoch, window } = cursor;
    const whole = Number.isSafeInteger(epoch) && epoch >= 0 && Number.isSafeInteger(window);
    if (!whole || window < 0 || window >= this.windows) {
      const range = `an epoch has ${this.windows} windows`;
      throw new ClawError("E_CHECKPOINT", `Cannot resume at window ${window} of epoch ${epoch}; ${range}.`);
    }
    this.#cursor = { epoch, window };
  }

  /**
   * Fills both with the next windows, one after another: their length is a multiple of the context. A target is the token after
   * its place's, or NO_TARGET.
   */
  read(tokens: Int32Array, targets: Int32Array): void {
    const { context } = this.#windows;
    assert(
      tokens.length === targets.length && tokens.length % context === 0,
      "Batches should be whole windows.",
    );
    for (let at = 0; at < tokens.length; at += context) {
      this.#fill(this.#advance(), tokens.subarray(at, at + context), targets.subarray(at, at + context));
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** The window at the cursor, which moves on. */
  #advance(): number {
    const { epoch, window } = this.#cursor;
    this.#cursor =
      window + 1 < this.windows ? { epoch, window: window + 1 } : { epoch: epoch + 1, window: 0 };
    if (this.#seed === undefined) return window;
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, windows: epochOrder(this.windows, this.#seed, epoch) };
    }
    return at(this.#order.windows, window);
  }

  #fill(window: number, tokens: Int32Array, targets: Int32Array): void {
    let place = 0;
    for (const { start, length } of this.#windows.ranges(window)) {
      const run = this.#readTokens(start, length + 1);
      tokens.set(run.subarray(0, length), place);
      targets.set(run.subarray(1), place);
      place += length;
    }
    tokens.fill(this.index.end, place);
    targets.fill(NO_TARGET, place);
  }

  #readTokens(start: number, count: number): Uint16Array {
    const bytes = new Uint8Array(count * TOKEN_BYTES);
    attempt(`Cannot read ${this.#path}`, () => {
      for (let done = 0; done < bytes.length; ) {
        const position = start * TOKEN_BYTES + done;
        const read = readSync(this.#descriptor, bytes, {
          offset: done,
          length: bytes.length - done,
          position,
        });
        if (read === 0) throw new ClawError("E_CORPUS", `Reading ${this.#path}: it became shorter.`);
        done += read;
      }
    });
    return new Uint16Array(bytes.buffer);
  }
}
