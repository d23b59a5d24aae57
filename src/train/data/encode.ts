/** I/O: encodes a corpus to token files, in memory bounded by the longest document. */

import { createHash, type Hash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ClawError } from "../../base/mod.ts";
import { Generator, type Tokenizer } from "../../model/mod.ts";
import {
  DATASET_FORMAT,
  type DatasetIndex,
  INDEX_NAME,
  type SplitIndex,
  type SplitName,
  splitNames,
} from "./dataset-index.ts";
import { type ByteProgress, readDocuments } from "./documents.ts";
import { DOCUMENTS_MAX } from "./limits.ts";
import type { NamedTokenizer } from "./tokenizer.ts";

export interface EncodeOptions {
  readonly tokenizer: NamedTokenizer;
  /** The corpus. */
  readonly train: string;
  /** A text to validate with; undefined: some documents of the corpus are held out. */
  readonly valid: string | undefined;
  /** The share of documents held out where `valid` is undefined; from 0 to 1. */
  readonly heldOut: number;
  /** Chooses the documents held out. */
  readonly seed: number;
  /** The folder of the dataset; made if it is not there. */
  readonly folder: string;
  /** Goes into the index as it is. */
  readonly source: string;
  readonly onProgress?: ByteProgress;
}

/** The stream of the documents held out; see `Generator`. */
const HELD_OUT_STREAM = 0x686f_6c64;

/** Makes a dataset. The index comes last, so a folder with an index is whole. Errors: E_FILE, E_CORPUS, E_USAGE. */
export function encodeCorpus(options: EncodeOptions): DatasetIndex {
  const { folder, tokenizer } = options;
  return naming(folder, () => {
    mkdirSync(folder, { recursive: true });
    rmSync(join(folder, INDEX_NAME), { force: true });
    const splits = encodeSplits(options);
    for (const name of splitNames) {
      if (splits[name].documents.length > 0) continue;
      throw new ClawError(
        "E_CORPUS",
        `Encoding ${options.train}: no document is left for the split ${name}.`,
      );
    }
    const end = endOf(tokenizer.tokenizer);
    const { source } = options;
    const index: DatasetIndex = { format: DATASET_FORMAT, tokenizer: tokenizer.digest, end, source, splits };
    const path = join(folder, INDEX_NAME);
    writeFileSync(`${path}.partial`, JSON.stringify(index), { flush: true });
    renameSync(`${path}.partial`, path);
    return index;
  });
}

function encodeSplits(options: EncodeOptions): Record<SplitName, SplitIndex> {
  const { train, valid, heldOut, seed, folder, onProgress } = options;
  const { tokenizer } = options.tokenizer;
  const generator = new Generator(seed, HELD_OUT_STREAM);
  const writers = { train: new SplitWriter(folder, "train"), valid: new SplitWriter(folder, "valid") };
  try {
    const end = endOf(tokenizer);
    for (const document of readDocuments(train, onProgress)) {
      const isHeldOut = valid === undefined && generator.uniform() < heldOut;
      writers[isHeldOut ? "valid" : "train"].add(document, { tokenizer, end });
    }
    if (valid !== undefined) {
      for (const document of readDocuments(valid)) writers.valid.add(document, { tokenizer, end });
    }
    return { train: writers.train.finish(end), valid: writers.valid.finish(end) };
  } finally {
    for (const writer of Object.values(writers)) writer.close();
  }
}

function endOf(tokenizer: Tokenizer): number {
  const { eos, vocabularySize } = tokenizer;
  if (eos !== undefined && vocabularySize <= 2 ** 16) return eos;
  const problem = eos === undefined ? "no end-of-text token" : `${vocabularySize} tokens, more than 65536`;
  throw new ClawError("E_TOKENIZER", `Encoding a corpus: the tokenizer has ${problem}.`);
}

/** Writes one token file. */
class SplitWriter {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #documents: number[] = [];
  #tokens = 0;
  #textBytes = 0;
  #open = true;

  constructor(folder: string, name: SplitName) {
    this.#path = join(folder, `${name}.tokens`);
    this.#descriptor = openSync(`${this.#path}.partial`, "w");
  }

  add(document: string, { tokenizer, end }: { readonly tokenizer: Tokenizer; readonly end: number }): void {
    if (this.#documents.length === DOCUMENTS_MAX) {
      throw new ClawError("E_CORPUS", `The corpus has more than ${DOCUMENTS_MAX} documents.`);
    }
    this.#documents.push(this.#tokens);
    this.#textBytes += Buffer.byteLength(document);
    this.#write(Uint16Array.of(end));
    this.#write(Uint16Array.from(tokenizer.encode(document)));
  }

  /** Ends the file, gives it its name, and says what it holds. */
  finish(end: number): SplitIndex {
    if (this.#documents.length > 0) this.#write(Uint16Array.of(end));
    fsyncSync(this.#descriptor);
    this.close();
    renameSync(`${this.#path}.partial`, this.#path);
    return {
      tokens: this.#tokens,
      documents: this.#documents,
      textBytes: this.#textBytes,
      digest: this.#hash.digest("hex"),
    };
  }

  close(): void {
    if (this.#open) closeSync(this.#descriptor);
    this.#open = false;
  }

  #write(tokens: Uint16Array): void {
    const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done);
    this.#hash.update(bytes);
    this.#tokens += tokens.length;
  }
}

function naming<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof Error && "syscall" in error)) throw error;
    throw new ClawError("E_FILE", `Cannot write ${folder}: ${error.message}.`, { cause: error });
  }
}
