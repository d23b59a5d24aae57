/** Which parts of a model file a rank's program reads. */

import { assert, at } from "../../base/mod.ts";
import type { MatrixSpec } from "../../kernels/mod.ts";
import type { Gguf, RankProgram } from "../../model/mod.ts";
import { blockLayout } from "../../tensor/mod.ts";
import { type Extent, extentBytes, inPieces, inRows } from "./extent.ts";

type TensorInfo = Gguf["tensors"] extends ReadonlyMap<string, infer T> ? T : never;

/** What is read of a tensor. */
export interface Part {
  readonly tensor: TensorInfo;
  /** All of it: its pieces are the leaves of its tree in the seal. */
  readonly whole: boolean;
  readonly pieces: readonly Extent[];
}

/** Each part once, in the order of the file. */
export function partsOf(
  gguf: Gguf,
  { matrices, vectors }: Pick<RankProgram, "matrices" | "vectors">,
): Part[] {
  const parts = new Map<string, Part>();
  const add = (part: Part): void => {
    parts.set(JSON.stringify(part.pieces), part);
  };
  for (const spec of matrices) {
    const tensor = gguf.tensors.get(spec.name);
    if (tensor !== undefined) add(matrixPart(tensor, spec)); // one that is missing is refused when it is loaded
  }
  for (const vector of vectors) {
    const tensor = typeof vector === "string" ? gguf.tensors.get(vector) : undefined;
    if (tensor !== undefined) add(wholePart(tensor));
  }
  return [...parts.values()].toSorted((a, b) => at(a.pieces, 0).offset - at(b.pieces, 0).offset);
}

export function wholePart(tensor: TensorInfo): Part {
  return { tensor, whole: true, pieces: inPieces(tensor.offset, tensor.byteLength) };
}

/** Bytes of all of them. */
export function partBytes(parts: readonly Part[]): number {
  return parts.reduce(
    (sum, { pieces }) => sum + pieces.reduce((all, piece) => all + extentBytes(piece), 0),
    0,
  );
}

function matrixPart(
  tensor: TensorInfo,
  { rows, columns, segments, rowRange, segmentRange }: MatrixSpec,
): Part {
  const { elements, bytes } = blockLayout(tensor.type);
  const rowBytes = (columns / elements) * bytes;
  // A tensor of another shape is refused when it is loaded.
  if (rowBytes * rows !== tensor.byteLength) return wholePart(tensor);
  const perSegment = columns / segments;
  // Where segments end within a block, the block is needed on both sides.
  const firstBlock = Math.floor((segmentRange[0] * perSegment) / elements);
  const endBlock = Math.ceil((segmentRange[1] * perSegment) / elements);
  const count = rowRange[1] - rowRange[0];
  const range = [firstBlock * bytes, endBlock * bytes] as const;
  assert(range[1] <= rowBytes && count > 0, `The slice of ${tensor.name} lies in its rows.`);
  if (count === rows && range[1] - range[0] === rowBytes) return wholePart(tensor);
  const pieces = inRows(tensor.offset + rowRange[0] * rowBytes, { rowBytes, count, range });
  return { tensor, whole: false, pieces };
}
