/** Reads the tensor table of a header and checks that its tensors lie in the file, apart from one another. */

import { blockLayout, type SourceType, sourceByteLength, sourceTypeOfId } from "../../tensor/mod.ts";
import type { Cursor } from "./cursor.ts";
import { DIMENSIONS_MAX, NAME_BYTES_TOTAL_MAX, TENSOR_NAME_BYTES_MAX, TENSORS_MAX } from "./limits.ts";

export interface TensorInfo {
  readonly name: string;
  readonly type: SourceType;
  /** ggml's order: the fastest dimension (the length of a row) first; 1 to 4 dimensions. */
  readonly shape: readonly number[];
  /** Where the data begin, in bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** An entry is at least an empty name's length, the number of dimensions, one dimension, a type and an offset. */
const ENTRY_BYTES_MIN = 8 + 4 + 8 + 4 + 8;
export const TENSORS_BOUND: { readonly max: number; readonly bytesEach: number } = {
  max: TENSORS_MAX,
  bytesEach: ENTRY_BYTES_MIN,
};

/** `count` entries, their offsets still relative to the data. Errors: E_GGUF, E_GGUF_LIMIT, E_GGUF_TYPE. */
export function readTensorTable(cursor: Cursor, count: number): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const start = cursor.position;
  for (let i = 0; i < count; i++) {
    const tensor = readTensor(cursor);
    if (tensors.has(tensor.name)) throw cursor.error("E_GGUF", `the tensor "${tensor.name}" appears twice.`);
    tensors.set(tensor.name, tensor);
    if (cursor.position - start > NAME_BYTES_TOTAL_MAX) {
      throw cursor.error("E_GGUF_LIMIT", `its tensor table takes more than ${NAME_BYTES_TOTAL_MAX} bytes.`);
    }
  }
  return tensors;
}

function readTensor(cursor: Cursor): TensorInfo {
  const name = cursor.name("a tensor's name", TENSOR_NAME_BYTES_MAX);
  const what = `tensor "${name}"`;
  const shape = readShape(cursor, what);
  const type = sourceTypeOfId(cursor.u32(what), name);
  const row = shape[0] as number;
  const block = blockLayout(type).elements;
  if (row % block !== 0) {
    throw cursor.error(
      "E_GGUF",
      `${what} has rows of ${row} elements, not a multiple of ${type}'s ${block}.`,
    );
  }
  const offset = cursor.u64(what);
  if (typeof offset === "bigint")
    throw cursor.error("E_GGUF", `${what} begins at ${offset}, beyond the file.`);
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  return { name, type, shape, offset, byteLength: sourceByteLength(type, elements) };
}

function readShape(cursor: Cursor, what: string): number[] {
  const rank = cursor.u32(what);
  if (rank === 0) throw cursor.error("E_GGUF", `${what} has no dimensions.`);
  if (rank > DIMENSIONS_MAX) {
    throw cursor.error(
      "E_GGUF_LIMIT",
      `${what} has ${rank} dimensions; at most ${DIMENSIONS_MAX} are accepted.`,
    );
  }
  const shape: number[] = [];
  let elements = 1;
  for (let i = 0; i < rank; i++) {
    const dimension = Number(cursor.u64(what));
    if (dimension === 0) throw cursor.error("E_GGUF", `${what} has a dimension of zero.`);
    elements *= dimension;
    // The largest type takes 4 bytes an element; its byte length must stay an exact number too.
    if (elements * 4 > Number.MAX_SAFE_INTEGER) {
      throw cursor.error("E_GGUF_LIMIT", `${what} has more than 2^51 elements.`);
    }
    shape.push(dimension);
  }
  return shape;
}

interface Placement {
  readonly dataOffset: number;
  readonly alignment: number;
}

/**
 * The tensors with absolute offsets. Several may be the very same bytes; errors: E_GGUF for one that is misaligned, overhangs,
 * or shares a part of its bytes.
 */
export function placeTensors(
  cursor: Cursor,
  table: ReadonlyMap<string, TensorInfo>,
  placement: Placement,
): Map<string, TensorInfo> {
  const placed = new Map<string, TensorInfo>();
  for (const tensor of table.values()) {
    if (tensor.offset % placement.alignment !== 0) {
      const message = `tensor "${tensor.name}" begins at ${tensor.offset}, not a multiple of ${placement.alignment}.`;
      throw cursor.error("E_GGUF", message);
    }
    const offset = placement.dataOffset + tensor.offset;
    if (offset + tensor.byteLength > cursor.size) {
      const message = `tensor "${tensor.name}" ends at byte ${offset + tensor.byteLength} of ${cursor.size}.`;
      throw cursor.error("E_GGUF", message);
    }
    placed.set(tensor.name, { ...tensor, offset });
  }
  checkApart(cursor, placed);
  return placed;
}

/** Whether they share a part of their bytes, rather than all or none; `a` begins no later. */
function overlap(a: TensorInfo, b: TensorInfo): boolean {
  const sameShape = a.shape.length === b.shape.length && a.shape.every((size, i) => size === b.shape[i]);
  const same = a.offset === b.offset && a.type === b.type && sameShape;
  return !same && a.offset + a.byteLength > b.offset;
}

function checkApart(cursor: Cursor, tensors: ReadonlyMap<string, TensorInfo>): void {
  const sorted = [...tensors.values()].sort((a, b) => a.offset - b.offset);
  let previous: TensorInfo | undefined;
  for (const tensor of sorted) {
    if (previous !== undefined && overlap(previous, tensor)) {
      throw cursor.error("E_GGUF", `the tensors "${previous.name}" and "${tensor.name}" overlap.`);
    }
    previous = tensor;
  }
}
