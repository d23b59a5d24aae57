/** Adapters: low-rank matrices beside some of a model's (LoRA: Hu and others, 2021). */

import { assert, at } from "../../base/mod.ts";

/** y = W x + scale * B (A x). */
export interface AdapterMatrix {
  /** [rank][in] */
  readonly a: Float32Array;
  /** [out][rank], rows as the model file has them. */
  readonly b: Float32Array;
}

export interface Adapter {
  readonly rank: number;
  readonly scale: number;
  /** By the GGUF name of the matrix beside which they stand. */
  readonly matrices: ReadonlyMap<string, AdapterMatrix>;
}

type Range = readonly [first: number, end: number];

/** Rows and columns of an adapter's matrix, as a vector of a program. */
export interface AdapterPart {
  /** The whole matrix, row-major. */
  readonly values: Float32Array;
  /** Its columns. */
  readonly width: number;
  readonly rows: Range;
  readonly columns: Range;
}

/** A part as kernels read it: column after column. */
export function adapterVector({ values, width, rows, columns }: AdapterPart): Float32Array {
  assert(rows[1] * width <= values.length && columns[1] <= width, "The part lies in the matrix.");
  const count = rows[1] - rows[0];
  return Float32Array.from({ length: count * (columns[1] - columns[0]) }, (_, i) => {
    const [row, column] = [rows[0] + (i % count), columns[0] + Math.floor(i / count)];
    return at(values, row * width + column);
  });
}
