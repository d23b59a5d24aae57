/**
 * The one contract between what decides (TypeScript) and what computes (a device: the TypeScript reference, the
 * native CPU core, later WebGPU and remote shards).
 *
 * A model is compiled once to a `Program`: buffers and a flat tape of integers. A device runs the whole tape for
 * each step: all rows (tokens of any number of sequences) go through the same matrix products. What each operation
 * computes, bit for bit, is written in docs/reference/arithmetic.md; `reference/` is that text as code.
 */

import type { SourceType } from "../tensor/mod.ts";

/** How a matrix is held and multiplied. `f16`: half floats; `i8`, `i4`: rotated, as integers with scales. */
export type WeightFormat = "f16" | "i8" | "i4";

/**
 * A weight matrix as the model defines it: `rows` outputs by `columns` inputs. The columns are cut into `segments`
 * of equal length; a device may hold only some rows or some segments (a tensor-parallel slice).
 */
export interface MatrixSpec {
  readonly name: string;
  readonly format: WeightFormat;
  readonly rows: number;
  readonly columns: number;
  readonly segments: number;
  /** Rows held here: [first, end). */
  readonly rowRange: readonly [number, number];
  /** Segments held here: [first, end). */
  readonly segmentRange: readonly [number, number];
}

/** Where a matrix's values come from: row-major, of a source type, in a file or in memory. */
export interface MatrixSource {
  readonly type: SourceType;
  /** `file` is a path; `offset` in bytes. Or the bytes themselves. */
  readonly data: { readonly file: string; readonly offset: number } | Uint8Array;
}

/** Rows a buffer has in a step: one per token fed, or one per token whose logits are wanted. */
export type RowDomain = "tokens" | "outputs";

export type BufferSpec =
  | {
      readonly kind: "f32";
      readonly name: string;
      readonly domain: RowDomain;
      /** f32 values per row. */
      readonly width: number;
    }
  | {
      readonly kind: "quantized";
      readonly name: string;
      readonly domain: RowDomain;
      /** Values per row, cut into `segments` of equal length. */
      readonly width: number;
      readonly segments: number;
      /** Of the matrices that read it. */
      readonly format: "i8" | "i4";
    };

/**
 * Operation codes and their operands, in tape order. `dst`, `src`, … are buffer indices; `matrix` and `vector` are
 * the ids the device returned at load; `f32 bits` is a float's bit pattern in the integer tape. The number of rows
 * of an operation is that of its `dst` buffer's domain.
 */
export const OP = {
  /** End of the tape. */
  END: 0,
  /** dst, matrix — row of the embedding matrix for each token id. */
  EMBED: 1,
  /** dst, src, vector, epsilon (f32 bits) */
  RMS_NORM: 2,
  /** dst (quantized), src — rotates and quantizes each segment */
  QUANTIZE: 3,
  /** dst, src (f32 for `f16` matrices, quantized otherwise), matrix (all its segments) */
  LINEAR: 4,
  /** dst, src, matrix — roots of the maximal subtrees of the segments held; dst is [segments of the whole][rows]. */
  LINEAR_PARTIAL: 5,
  /** dst, src (as LINEAR_PARTIAL wrote it), count, then `count` pairs (first, end): the subtrees present. */
  COMBINE: 6,
  /** buffer (in place), vector (table), heads, headDim, style (0: adjacent pairs, 1: halves) */
  ROPE: 7,
  /** k, v, layer, firstHead, heads — appends to the KV pages */
  KV_WRITE: 8,
  /** dst, q, layer, firstKvHead, kvHeads, queryHeads, scale (f32 bits) */
  ATTENTION: 9,
  /** dst, gate, up — silu(gate) * up */
  SILU_MUL: 10,
  /** dst, a, b */
  ADD: 11,
  /** dst (outputs), src (tokens) — the rows whose logits are wanted */
  GATHER: 12,
  /**
   * dst, matrix, firstToken, vocabulary — as EMBED, of a matrix that holds the rows of firstToken and the tokens after it;
   * rows of tokens that it lacks are left as they are.
   */
  EMBED_PARTIAL: 13,
  /**
   * src, link, firstToken, endToken, count, then `count` pairs (first column, columns) — sends these columns of the rows
   * whose token lies in [firstToken, endToken), row after row, as one message; none where there are no such rows.
   * SEND and RECEIVE that stand together are all under way at once, each link in the order of the tape.
   */
  SEND: 14,
  /** dst, and the rest as in SEND — fills these columns of these rows with the next message. */
  RECEIVE: 15,
  /**
   * dst, src, first, segments, stride, count, then `count` pairs (A, rank): the leaves of A x for the segments of src, which are
   * `segments` from leaf `first` on; dst is [segments of the whole][stride]. Rows of adapter i take the pair i; A is -1 where it
   * has none here, else a vector, [width of src][rank].
   */
  ADAPT_DOWN: 16,
  /**
   * dst (in place), src (as ADAPT_DOWN wrote it), stride, count, then `count` triples (B, rank, scale (f32 bits)): adds B times what
   * the leaves come to. B is -1 or a vector, [rank][width of dst].
   */
  ADAPT_UP: 17,
} as const;

/** Words of each entry of the lists that end some operations; the last operand before them says how many there are. */
export const LIST_WORDS: Readonly<Partial<Record<keyof typeof OP, number>>> = {
  COMBINE: 2,
  SEND: 2,
  RECEIVE: 2,
  ADAPT_DOWN: 2,
  ADAPT_UP: 3,
};

/** Operands of each operation, before its list. */
export const OPERANDS: Readonly<Record<keyof typeof OP, number>> = {
  END: 0,
  EMBED: 2,
  RMS_NORM: 4,
  QUANTIZE: 2,
  LINEAR: 3,
  LINEAR_PARTIAL: 3,
  COMBINE: 3,
  ROPE: 5,
  KV_WRITE: 5,
  ATTENTION: 7,
  SILU_MUL: 3,
  ADD: 3,
  GATHER: 2,
  EMBED_PARTIAL: 4,
  SEND: 5,
  RECEIVE: 5,
  ADAPT_DOWN: 6,
  ADAPT_UP: 4,
};

export interface Program {
  readonly buffers: readonly BufferSpec[];
  readonly tape: Int32Array;
  /**
   * Index of the f32 buffer (domain `outputs`) that holds the logits at the end; undefined in the program of a rank that
   * ends with rows for the next stage.
   */
  readonly logits: number | undefined;
}

/** A link of the native core. */
export interface NativeLink {
  readonly handle: "link";
}

/**
 * A way to another rank, both directions: messages arrive whole and in order. Its errors are E_LINK, and E_LINK_PEER where the
 * other side breaks the rules.
 */
export interface RankLink {
  /** What native devices move messages over by themselves; such a link then serves nothing else. */
  readonly native?: NativeLink;
  /** Resolves when the bytes may be overwritten; the other side may still have to take them. */
  send(bytes: Uint8Array): Promise<void>;
  /** Fills `into` with the next message, which is of just this length. */
  receive(into: Uint8Array): Promise<void>;
  /** Puts the next message at the beginning of `into`, and says how long it is; one that is longer is E_LINK. */
  receiveSome(into: Uint8Array): Promise<number>;
  /** Ends both directions: what waits on either side fails. */
  close(): void;
}

/** The largest rank of an adapter: kernels keep so many sums at hand. */
export const ADAPTER_RANK_MAX = 512;

/** The most a step of this program may ask for; devices allocate for it once. */
export interface StepLimits {
  /** Token rows in a step. */
  readonly rows: number;
  /** Rows with logits in a step. */
  readonly outputs: number;
  /** Page-table entries in a step, over all its sequences. */
  readonly pageEntries: number;
}

/**
 * How keys and values are kept: rounded to half, as they were computed, or as bytes with a scale for each vector of a
 * position and head. A choice for all requests of a server: answers depend on it.
 */
export type KvFormat = "f16" | "f32" | "i8";

/** Bytes of one position's key and value of one head. */
export function kvVectorBytes(format: KvFormat, headDim: number): number {
  if (format === "i8") return 2 * (headDim + Float32Array.BYTES_PER_ELEMENT);
  return 2 * headDim * (format === "f16" ? 2 : 4);
}

/** Shape of the KV cache: pages of KV_PAGE_TOKENS positions over all layers and KV heads. */
export interface KvShape {
  readonly format: KvFormat;
  readonly pages: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
}

/** Positions in a KV page. A constant, so that page tables mean the same everywhere; it changes no bit. */
export const KV_PAGE_TOKENS = 32;

/** Bytes of one KV page over all layers and heads, keys and values, in the format it is kept in. */
export function kvPageBytes({ layers, heads, headDim, format }: Omit<KvShape, "pages">): number {
  return layers * heads * KV_PAGE_TOKENS * kvVectorBytes(format, headDim);
}

/** Positions in an attention chunk: arithmetic, not configuration (docs/reference/arithmetic.md, Attention). */
export const ATTENTION_CHUNK = 256;

/** Row status bits after a step; 0 is good. */
export const ROW_STATUS = {
  /** NaN or infinity in an activation. */
  NOT_FINITE: 1,
  /** A key or value that is not finite, or beyond f16 where the cache is kept so. */
  KV_RANGE: 2,
} as const;

/**
 * The memory a step is described in, made once per program and shared with the device: the caller fills it, calls
 * `execute`, and reads the results. Row r feeds token `tokens[r]` at absolute position `positions[r]`; its
 * sequence's page table begins at `pages[pageStart[r]]`, one entry per KV_PAGE_TOKENS positions.
 */
export interface StepBlock {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly pageStart: Int32Array;
  readonly pages: Int32Array;
  /** The adapter of each row, counted from 1; 0: none. */
  readonly adapters: Int32Array;
  /** Row of each output. */
  readonly outputs: Int32Array;
  /** [outputs][vocabulary], f32; empty where the program has none. */
  readonly logits: Float32Array;
  /** ROW_STATUS bits per token row. */
  readonly status: Int32Array;
}

/** What an executable exchanged with other ranks since it was prepared. */
export interface ExchangeCounts {
  /** Of which all messages are under way at once: round trips, where both sides send. */
  readonly exchanges: number;
  /** Sent, and bytes in them. */
  readonly messages: number;
  readonly bytes: number;
  /** From the moment all of an exchange are posted until all have moved: mostly for ranks that compute longer. */
  readonly waitedSeconds: number;
}

/** A program made ready on a device, with its buffers. */
export interface Executable {
  readonly step: StepBlock;
  /**
   * Runs the tape over `rows` token rows and `outputs` output rows of the step block. One call at a time. What a link to another
   * rank fails with; closing the link ends a step that waits for it.
   */
  execute(rows: number, outputs: number): Promise<void>;
  /** Between steps. Undefined where it is not counted. */
  exchangeCounts?(): ExchangeCounts;
  /**
   * Of the last step over several ranks: the exchanges of the rank that had the most, which is how often the step waited for
   * messages, and the messages of all. Undefined where there is one rank.
   */
  readonly lastExchanges?: ExchangeCounts;
  /** Copies rows into or out of an f32 buffer: for tests and tools, never between steps of a running engine. */
  writeBuffer(buffer: number, values: Float32Array): void;
  readBuffer(buffer: number, rows: number): Float32Array;
}

/** Memory a device holds, in bytes. */
export interface DeviceMemory {
  readonly weights: number;
  readonly kv: number;
  readonly buffers: number;
}

/** Where a packed matrix lies in a file, and what its bytes sum up to. */
export interface PackedPlace {
  /** Of the open file; it may be closed when the matrix is loaded. */
  readonly descriptor: number;
  /** A multiple of PACKED_ALIGNMENT. */
  readonly offset: number;
  /** As `checksum` gave it. */
  readonly checksum: string;
}

/** Matrices begin in a file at multiples of it: of the largest memory page of the systems we run on. */
export const PACKED_ALIGNMENT = 65_536;

/** Packed matrices as bytes, for those who keep them in files. */
export interface PackedMatrices {
  /** What bytes mean; those of another version are never read. The instruction set is not in it. */
  readonly version: string;
  /** Bytes that a matrix takes. E_MODEL_SHAPE, E_MEMORY. */
  size(spec: MatrixSpec): number;
  /** The device's own memory of a loaded matrix, to be read only; it outlives the device. */
  bytes(id: number): Uint8Array;
  checksum(bytes: Uint8Array): string;
  /** SHA-256 of a byte 0 and each HASH_CHUNK_BYTES of the bytes, 32 bytes for each, by all threads. */
  hashes(bytes: Uint8Array): Promise<Uint8Array>;
  /** Resolves to the id of the matrix read from there; undefined where the bytes sum up to something else. E_FILE, E_MEMORY. */
  read(spec: MatrixSpec, place: PackedPlace): Promise<number | undefined>;
}

/** Bytes of a file. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes under one hash of `FileHasher`. */
export const HASH_CHUNK_BYTES: number = 1024 * 1024;

/** Hashes files with all of a device's threads. */
export interface FileHasher {
  /**
   * SHA-256 of a byte 0 and a chunk (a leaf of RFC 6962), 32 bytes for each chunk of HASH_CHUNK_BYTES of each range. What was
   * hashed also goes `into` memory, range after range. E_FILE.
   */
  hash(descriptor: number, ranges: readonly FileRange[], into?: Uint8Array): Promise<Uint8Array>;
}

/**
 * KV pages as they lie in a device: moved whole, between steps only, whatever is in them; as bytes layer after layer, and head
 * after head. A page that is not there is E_INTERNAL.
 */
export interface KvPages {
  /** Bytes of a page as this device moves it; 0 while no KV cache is allocated. */
  readonly kvPageBytes: number;
  copyPage(from: number, to: number): void;
  /** `bytes` is of kvPageBytes. */
  readPage(page: number, bytes: Uint8Array): void;
  writePage(page: number, bytes: Uint8Array): void;
  /** What is in the page is not needed any more; its memory goes back to the system where that is possible. */
  discardPage(page: number): void;
}

export interface Device extends KvPages {
  /** `reference`, `cpu-scalar`, `cpu-avx512`, … */
  readonly name: string;
  readonly threads: number;
  /** Quantizes and packs a matrix; resolves to its id. E_WEIGHTS on NaN, infinity or a value beyond f16. */
  loadMatrix(spec: MatrixSpec, source: MatrixSource): Promise<number>;
  /** Keeps a copy of an f32 vector (norm weights, RoPE table); its id. */
  loadVector(values: Float32Array): number;
  /**
   * Allocates the KV cache the executables of this device use; replaces the one before. Pages cost memory once they are
   * written. E_MEMORY.
   */
  allocateKv(shape: KvShape): void;
  /** Whether its executables move messages over native links by themselves; they take no other links. */
  readonly nativeLinks?: boolean;
  /** `links`: those that the program's SEND and RECEIVE name, by their numbers. */
  prepare(program: Program, limits: StepLimits, links?: readonly RankLink[]): Executable;
  memory(): DeviceMemory;
  /** Undefined on devices that pack nothing worth keeping. */
  readonly packed?: PackedMatrices;
  /** Undefined on devices without threads of their own. */
  readonly files?: FileHasher;
  close(): void;
}
