/** Random matrices, row by row: runs copied from the pool, scaled rows and columns encoded anew. */

import { blockLayout, quantizeSource, type SourceType, sourceByteLength } from "../../tensor/mod.ts";
import { Generator } from "./generator.ts";
import { type Pool, RUN_MAX, RUN_STARTS, RUN_STEP } from "./pool.ts";

export interface MatrixPlan {
  readonly rows: number;
  /** Values in a row; a multiple of 32. */
  readonly width: number;
  /** The standard deviation of its values. */
  readonly deviation: number;
  readonly rowScales?: ReadonlyMap<number, number>;
  readonly columnScales?: ReadonlyMap<number, number>;
}

export interface MatrixSource {
  readonly pool: Pool;
  readonly type: SourceType;
  readonly seed: number;
  /** Tells this matrix's draws from those of the others. */
  readonly stream: number;
}

/** About how much is handed on at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;
/** A row has at least this many runs where it is long enough: equal rows, hence equal logits, are then unheard of. */
const RUNS_PER_ROW = 4;

/** The encoded rows in order. A chunk's buffer is used again for the next one. */
export function* matrixChunks(plan: MatrixPlan, source: MatrixSource): Iterable<Uint8Array> {
  const rows = new RowWriter(plan, source);
  const chunk = new Uint8Array(Math.max(1, Math.floor(CHUNK_BYTES / rows.byteLength)) * rows.byteLength);
  let length = 0;
  for (let row = 0; row < plan.rows; row++) {
    rows.write(row, chunk.subarray(length, length + rows.byteLength));
    length += rows.byteLength;
    if (length < chunk.length && row < plan.rows - 1) continue;
    yield chunk.subarray(0, length);
    length = 0;
  }
}

class RowWriter {
  /** Bytes of a row. */
  readonly byteLength: number;
  readonly #plan: MatrixPlan;
  readonly #source: MatrixSource;
  readonly #encoded: Uint8Array;
  readonly #generator: Generator;
  readonly #run: number;
  /** Where in the pool each run of the current row begins. */
  readonly #starts: Uint32Array;
  /** The values of one block while it is scaled and encoded. */
  readonly #block: Float32Array;
  /** The blocks that hold a scaled column. */
  readonly #scaledBlocks: readonly number[];
  readonly #allBlocks: readonly number[];

  constructor(plan: MatrixPlan, source: MatrixSource) {
    const block = blockLayout(source.type).elements;
    this.byteLength = sourceByteLength(source.type, plan.width);
    this.#plan = plan;
    this.#source = source;
    this.#encoded = source.pool.encoded(source.type, plan.deviation);
    this.#generator = new Generator(source.seed, source.stream);
    const run = Math.floor(plan.width / RUNS_PER_ROW / RUN_STEP) * RUN_STEP;
    this.#run = Math.min(RUN_MAX, Math.max(RUN_STEP, run));
    this.#starts = new Uint32Array(Math.ceil(plan.width / this.#run));
    this.#block = new Float32Array(block);
    const columns = [...(plan.columnScales?.keys() ?? [])];
    this.#scaledBlocks = [...new Set(columns.map((column) => Math.floor(column / block)))];
    this.#allBlocks = Array.from({ length: plan.width / block }, (_, index) => index);
  }

  write(row: number, out: Uint8Array): void {
    const { type } = this.#source;
    for (let run = 0; run < this.#starts.length; run++) {
      const start = this.#generator.below(RUN_STARTS) * RUN_STEP;
      this.#starts[run] = start;
      const length = Math.min(this.#run, this.#plan.width - run * this.#run);
      const from = sourceByteLength(type, start);
      const bytes = this.#encoded.subarray(from, from + sourceByteLength(type, length));
      out.set(bytes, sourceByteLength(type, run * this.#run));
    }
    const scale = this.#plan.rowScales?.get(row) ?? 1;
    const blocks = scale === 1 ? this.#scaledBlocks : this.#allBlocks;
    for (const block of blocks) this.#rewrite(block, scale, out);
  }

  /** Encodes one block of the current row again, with its columns' scales and the row's. */
  #rewrite(block: number, rowScale: number, out: Uint8Array): void {
    const { pool, type } = this.#source;
    const { columnScales, deviation } = this.#plan;
    const { elements, bytes } = blockLayout(type);
    for (let i = 0; i < elements; i++) {
      const column = block * elements + i;
      const start = this.#starts[Math.floor(column / this.#run)] as number;
      const value = Math.fround((pool.values[start + (column % this.#run)] as number) * deviation);
      this.#block[i] = value * rowScale * (columnScales?.get(column) ?? 1);
    }
    quantizeSource(type, this.#block, out.subarray(block * bytes, (block + 1) * bytes));
  }
}
