/**
 * Reads the header of a GGUF file (version 2 or 3, little endian) and checks everything it claims; tensor data are
 * not touched. Source: the GGUF specification of the ggml project.
 */

import { Cursor } from "./cursor.ts";
import { ALIGNMENT_DEFAULT, ALIGNMENT_MAX, ALIGNMENT_MIN } from "./limits.ts";
import type { Metadata } from "./metadata.ts";
import { METADATA_PAIRS_BOUND, readMetadata } from "./metadata-reader.ts";
import type { ByteSource } from "./source.ts";
import { placeTensors, readTensorTable, TENSORS_BOUND, type TensorInfo } from "./tensor-info.ts";

export interface Gguf {
  readonly version: 2 | 3;
  readonly metadata: Metadata;
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Of each tensor's data, in bytes. */
  readonly alignment: number;
  /** Where the data begin, in bytes from the start of the file. */
  readonly dataOffset: number;
}

/** The letters GGUF, read as a little-endian word. */
const MAGIC = 0x46554747;
export const ALIGNMENT_KEY = "general.alignment";

/** Reads and checks a header. Errors: E_GGUF, E_GGUF_VERSION, E_GGUF_LIMIT, E_GGUF_TYPE, E_FILE. */
export function readGguf(source: ByteSource): Gguf {
  const cursor = new Cursor(source);
  const version = readVersion(cursor);
  const tensorCount = cursor.count("the number of tensors", TENSORS_BOUND);
  const pairCount = cursor.count("the number of metadata pairs", METADATA_PAIRS_BOUND);
  const metadata = readMetadata(cursor, pairCount);
  const alignment = readAlignment(cursor, metadata);
  const table = readTensorTable(cursor, tensorCount);
  const dataOffset = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = placeTensors(cursor, table, { dataOffset, alignment });
  return { version, metadata, tensors, alignment, dataOffset };
}

function readVersion(cursor: Cursor): 2 | 3 {
  if (cursor.u32("the first word") !== MAGIC) {
    throw cursor.error("E_GGUF", "it does not begin with the letters GGUF.");
  }
  const version = cursor.u32("the version");
  if (version === 2 || version === 3) return version;
  if (version !== 0 && version % 2 ** 16 === 0) {
    throw cursor.error("E_GGUF_VERSION", "it is big endian.");
  }
  throw cursor.error("E_GGUF_VERSION", `it is version ${version}; versions 2 and 3 can be read.`);
}

function readAlignment(cursor: Cursor, metadata: Metadata): number {
  const alignment = metadata.optionalNumber(ALIGNMENT_KEY) ?? ALIGNMENT_DEFAULT;
  if (alignment > ALIGNMENT_MAX) {
    throw cursor.error(
      "E_GGUF_LIMIT",
      `its alignment is ${alignment}; at most ${ALIGNMENT_MAX} is accepted.`,
    );
  }
  // One bit set: a whole number at least 8 that shares no bit with its predecessor.
  if (alignment >= ALIGNMENT_MIN && Number.isInteger(alignment) && (alignment & (alignment - 1)) === 0)
    return alignment;
  throw cursor.error("E_GGUF", `its alignment is ${alignment}, not a power of two from ${ALIGNMENT_MIN} on.`);
}
