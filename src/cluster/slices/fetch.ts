/**
 * I/O: files, clock. Fetches a rank's slice of a model from peers into a sparse file that is read as the model's own then. Nothing stays
 * in it that was not hashed: whole tensors against the model's root, parts of tensors against the hashes of a process that is trusted.
 */

import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ClawError } from "../../base/mod.ts";
import {
  isConsistent,
  openByteSource,
  type RankProgram,
  ROPE_FREQUENCIES,
  readGguf,
  tensorDigest,
} from "../../model/mod.ts";
import { type Extent, extentBytes, inPieces } from "./extent.ts";
import { readExtent, writeExtent } from "./extent-file.ts";
import { makeSliceRoom, newSliceFile, sliceBytesMax, sliceFileOf } from "./folder.ts";
import { ASKS_AHEAD, HASHES_ASKED_MAX, PIECE_BYTES_MAX, PROGRESS_MS } from "./limits.ts";
import type { SealAnswer } from "./message.ts";
import { type Part, partBytes, partsOf, wholePart } from "./parts.ts";
import { SliceError, SlicePeers } from "./peers.ts";
import type { OpenSource, SlicePeer, SliceSource } from "./source.ts";

export interface FetchTerms {
  /** Of the model. */
  readonly root: string;
  /** Where slices are kept on this host. */
  readonly folder: string;
  /** What all of them may take; undefined: 64 GiB, or half of the free disk. */
  readonly bytesMax?: number | undefined;
  /** Whose hashes of parts of tensors are believed: the process that had the rank started. */
  readonly trusted: SlicePeer;
  /** Who has the whole file, in the order in which they are asked. */
  readonly peers: readonly SlicePeer[];
}

/** In bytes. */
export interface FetchProgress {
  /** Of the slice, that are there. */
  readonly done: number;
  readonly total: number;
  /** That came from peers: less than are there, where some were there before. */
  readonly fetched: number;
}

export interface FetchOptions extends FetchTerms {
  readonly open: OpenSource;
  readonly onNote: (text: string) => void;
  readonly onProgress: (progress: FetchProgress) => void;
}

interface Piece {
  readonly extent: Extent;
  readonly hash: Uint8Array;
}

const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);

export class SliceFetch {
  readonly #options: FetchOptions;
  readonly #peers: SlicePeers;
  readonly #trusted: SlicePeers;
  #path = "";
  /** Undefined while there is none. */
  #file: FileHandle | undefined;
  #said: SealAnswer | undefined;
  #done = 0;
  #total = 0;
  #fetched = 0;
  #told = 0;
  /** Nothing is there but the header: there is no need to look. */
  #fresh = false;

  private constructor(options: FetchOptions) {
    const { root, peers, trusted, open: opening, onNote } = options;
    this.#options = options;
    this.#peers = new SlicePeers({ root, peers, open: opening, onNote });
    this.#trusted = new SlicePeers({ root, peers: [trusted], open: opening, onNote });
  }

  /** Fetches what a model is opened with. SliceError. */
  static async begin(options: FetchOptions): Promise<SliceFetch> {
    const fetch = new SliceFetch(options);
    try {
      const { folder, root } = options;
      await fetch.#head(sliceFileOf(folder, root) ?? newSliceFile(folder, root));
      return fetch;
    } catch (error) {
      await fetch.close();
      throw error;
    }
  }

  /** The file as far as it is there. */
  get path(): string {
    return this.#path;
  }

  /** Fetches what a rank's program reads. The file to read it from, which need not be the one before. SliceError. */
  async slice(program: Pick<RankProgram, "matrices" | "vectors">): Promise<string> {
    const parts = partsOf(this.#gguf(), program);
    [this.#done, this.#total] = [0, partBytes(parts)];
    const whole = await this.#wholePieces(parts.filter((part) => part.whole));
    const pieces = [...whole, ...(await this.#partPieces(parts.filter((part) => !part.whole)))];
    const missing = await this.#missing(pieces);
    await this.#load((await this.#room(missing)) ? missing : pieces);
    await this.#writing(() => this.#opened.sync());
    return this.#path;
  }

  async close(): Promise<void> {
    this.#peers.close();
    this.#trusted.close();
    await this.#file?.close();
    this.#file = undefined;
  }

  get #opened(): FileHandle {
    if (this.#file === undefined) throw new SliceError("The file of a slice is closed.");
    return this.#file;
  }

  #gguf(): ReturnType<typeof readGguf> {
    const source = openByteSource(this.#path);
    try {
      return readGguf(source);
    } finally {
      source.close();
    }
  }

  /** Opens a file of slices, or makes it, with the header and what the architecture needs beside it. */
  async #head(path: string): Promise<void> {
    await this.#file?.close();
    this.#path = path;
    this.#file = await this.#writing(() =>
      open(path, "a+").then((made) => made.close().then(() => open(path, "r+"))),
    );
    await this.#peers.use(async (source) => {
      const said = this.#said ?? (await source.seal());
      this.#checkSeal(said);
      await this.#header(source, said);
      this.#said = said;
    });
    const divisors = this.#gguf().tensors.get(ROPE_FREQUENCIES);
    if (divisors === undefined) return;
    await this.#load(await this.#missing(await this.#wholePieces([wholePart(divisors)])));
  }

  #checkSeal({ seal, fileBytes, headerBytes }: SealAnswer): void {
    if (seal.root === this.#options.root && isConsistent(seal) && headerBytes <= fileBytes) return;
    throw new ClawError("E_ALTERED", "What it calls the model's seal is none of this root.");
  }

  async #header(source: SliceSource, { seal, fileBytes, headerBytes }: SealAnswer): Promise<void> {
    const file = this.#opened;
    const pieces = inPieces(0, headerBytes);
    const { size } = await file.stat();
    this.#fresh = size === 0;
    if (size !== fileBytes) await this.#writing(() => file.truncate(fileBytes));
    const memory = new Uint8Array(PIECE_BYTES_MAX);
    const held = createHash("sha256");
    for (const piece of pieces) held.update(await readExtent(file, piece, memory));
    if (held.digest("hex") === seal.topology.header) return;
    const hash = createHash("sha256");
    for (const piece of pieces) {
      const bytes = await source.bytes(piece);
      this.#fetched += bytes.length;
      hash.update(bytes);
      await this.#writing(() => writeExtent(file, piece, bytes));
    }
    if (hash.digest("hex") !== seal.topology.header) {
      throw new ClawError("E_ALTERED", "The model's header is not the one of its root.");
    }
  }

  /** Of whole tensors: any peer may say their hashes, since the root follows from them. */
  async #wholePieces(parts: readonly Part[]): Promise<Piece[]> {
    const sealed = this.#said?.seal.tensors ?? {};
    return this.#peers.use(async (source) => {
      const pieces = await hashesOf(source, parts);
      let first = 0;
      for (const { tensor, pieces: own } of parts) {
        const hashes = Buffer.concat(pieces.slice(first, first + own.length).map(({ hash }) => hash));
        first += own.length;
        if (tensorDigest(tensor, hashes) !== sealed[tensor.name]) {
          throw new ClawError("E_ALTERED", `The hashes of ${tensor.name} are not those of the model's root.`);
        }
      }
      return pieces;
    });
  }

  #partPieces(parts: readonly Part[]): Promise<Piece[]> {
    if (parts.length === 0) return Promise.resolve([]);
    return this.#trusted.use((source) => hashesOf(source, parts));
  }

  /** Those that are not there, or not as they have to be. */
  async #missing(pieces: readonly Piece[]): Promise<Piece[]> {
    if (this.#fresh) return [...pieces];
    const memory = new Uint8Array(PIECE_BYTES_MAX);
    const missing: Piece[] = [];
    for (const piece of pieces) {
      if (isPiece(await readExtent(this.#opened, piece.extent, memory), piece)) this.#advance(piece, 0);
      else missing.push(piece);
    }
    return missing;
  }

  /** Whether the file may grow by what is missing; otherwise it is begun anew. SliceError where the slice itself is too large. */
  async #room(missing: readonly Piece[]): Promise<boolean> {
    const { folder, bytesMax, root } = this.#options;
    const bytes = missing.reduce((sum, { extent }) => sum + extentBytes(extent), 0);
    if (makeSliceRoom({ folder, bytesMax, path: this.#path, bytes })) return true;
    const most = sliceBytesMax(folder, bytesMax);
    if (this.#total + (this.#said?.headerBytes ?? 0) > most) {
      throw new SliceError(
        `The slice of ${this.#total} bytes is more than this node keeps of slices, ${most} bytes.`,
      );
    }
    const old = this.#path;
    await this.#head(newSliceFile(folder, root));
    this.#done = 0;
    rmSync(old, { force: true });
    return false;
  }

  /** Fetches pieces, some of them asked for ahead; what one peer did not give well comes from the next. */
  async #load(pieces: readonly Piece[]): Promise<void> {
    const left = [...pieces];
    if (left.length === 0) return;
    await this.#peers.use(async (source) => {
      let failed = false;
      const worker = async (): Promise<void> => {
        for (let next = left.shift(); next !== undefined; next = failed ? undefined : left.shift()) {
          try {
            await this.#take(source, next);
          } catch (error) {
            failed = true;
            left.push(next);
            throw error;
          }
        }
      };
      const outcomes = await Promise.allSettled(Array.from({ length: ASKS_AHEAD }, worker));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    });
  }

  async #take(source: SliceSource, piece: Piece): Promise<void> {
    const bytes = await source.bytes(piece.extent);
    if (!isPiece(bytes, piece)) {
      throw new ClawError("E_ALTERED", `The bytes from ${piece.extent.offset} on are not the model's.`);
    }
    await this.#writing(() => writeExtent(this.#opened, piece.extent, bytes));
    this.#advance(piece, bytes.length);
  }

  async #writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new SliceError(`A slice cannot be kept in ${this.#options.folder}: ${reason}.`, error);
    }
  }

  #advance({ extent }: Piece, fetched: number): void {
    this.#done += extentBytes(extent);
    this.#fetched += fetched;
    const now = performance.now();
    if (this.#total === 0) return; // it is not known yet
    if (now - this.#told < PROGRESS_MS && this.#done < this.#total) return;
    this.#told = now;
    this.#options.onProgress({ done: this.#done, total: this.#total, fetched: this.#fetched });
  }
}

function isPiece(bytes: Uint8Array, { hash }: Piece): boolean {
  return createHash("sha256").update(LEAF).update(bytes).digest().equals(hash);
}

async function hashesOf(source: SliceSource, parts: readonly Part[]): Promise<Piece[]> {
  const extents = parts.flatMap(({ pieces }) => pieces);
  const found: Piece[] = [];
  for (let first = 0; first < extents.length; first += HASHES_ASKED_MAX) {
    const asked = extents.slice(first, first + HASHES_ASKED_MAX);
    const hashes = await source.hashes(asked);
    for (const [i, extent] of asked.entries()) {
      found.push({ extent, hash: hashes.slice(HASH_BYTES * i, HASH_BYTES * (i + 1)) });
    }
  }
  return found;
}
