/** Which bytes of a file are asked for at once: so many runs of a length, at even distances. */

import { z } from "zod";
import { PIECE_BYTES_MAX } from "./limits.ts";

/** All in bytes. */
export interface Extent {
  /** Of the first run, from the start of the file. */
  readonly offset: number;
  /** Of each run. */
  readonly length: number;
  /** From the start of a run to that of the next; at least its length. */
  readonly stride: number;
  readonly count: number;
}

const size = z.int().positive();

export const extentShape: z.ZodType<Extent> = z.strictObject({
  offset: z.int().nonnegative(),
  length: size.max(PIECE_BYTES_MAX),
  stride: size,
  count: size.max(PIECE_BYTES_MAX),
});

/** Whether all of it lies in a file of so many bytes, and is no more than a piece. */
export function fits({ offset, length, stride, count }: Extent, fileBytes: number): boolean {
  const last = offset + (count - 1) * stride;
  const apart = count === 1 || stride >= length;
  return apart && length * count <= PIECE_BYTES_MAX && last + length <= fileBytes;
}

export function extentBytes({ length, count }: Extent): number {
  return length * count;
}

/** Bytes in a row, in extents of a piece each. */
export function inPieces(offset: number, byteLength: number): Extent[] {
  return Array.from({ length: Math.ceil(byteLength / PIECE_BYTES_MAX) }, (_, i) => {
    const length = Math.min(PIECE_BYTES_MAX, byteLength - i * PIECE_BYTES_MAX);
    return { offset: offset + i * PIECE_BYTES_MAX, length, stride: length, count: 1 };
  });
}

/** A range of bytes of each of some rows, in extents of a piece at most. */
export function inRows(offset: number, rows: RowBytes): Extent[] {
  const { rowBytes, count, range } = rows;
  const length = range[1] - range[0];
  if (length === rowBytes) return inPieces(offset, rowBytes * count);
  if (length > PIECE_BYTES_MAX) {
    return Array.from({ length: count }, (_, row) =>
      inPieces(offset + row * rowBytes + range[0], length),
    ).flat();
  }
  const rowsMax = Math.floor(PIECE_BYTES_MAX / length);
  return Array.from({ length: Math.ceil(count / rowsMax) }, (_, i) => {
    const first = i * rowsMax;
    return {
      offset: offset + first * rowBytes + range[0],
      ...{ length, stride: rowBytes, count: Math.min(rowsMax, count - first) },
    };
  });
}

interface RowBytes {
  /** Of a whole row. */
  readonly rowBytes: number;
  /** Rows. */
  readonly count: number;
  /** Of each row, [first, end). */
  readonly range: readonly [number, number];
}
