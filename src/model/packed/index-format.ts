/**
 * The format of a file of packed weights: the matrices' bytes, each from a multiple of PACKED_ALIGNMENT on, then an index in
 * JSON, then the index's SHA-256, its length in bytes (u32, little endian) and eight letters.
 *
 * The index comes last, so that a file that ends early has none.
 */

import { createHash } from "node:crypto";
import { type MatrixSpec, PACKED_ALIGNMENT, type WeightFormat } from "../../kernels/mod.ts";
import type { ModelIdentity } from "./identity.ts";
import { INDEX_BYTES_MAX } from "./limits.ts";

export interface PackedMatrix {
  /** `matrixKey` of its spec. */
  readonly key: string;
  readonly offset: number;
  readonly bytes: number;
  /** 16 hexadecimal digits, as the device computes it. */
  readonly checksum: string;
  /** SHA-256 over the hashes of its chunks in hexadecimal; of sealed models. */
  readonly sha256?: string | undefined;
}

export interface PackedIndex {
  /** `PackedMatrices.version`. */
  readonly version: string;
  /** The path of the model file. */
  readonly model: string;
  /** SHA-256 of all of it, when it was packed. */
  readonly digest: string;
  readonly identity: ModelIdentity;
  readonly format: WeightFormat;
  readonly matrices: readonly PackedMatrix[];
  /** `indexMac`; of sealed models. */
  readonly mac?: string | undefined;
}

/** Why a file of packed weights cannot be used: the end of a sentence. */
export class Unusable extends Error {}

const LETTERS = "CLAWPK01";
const DIGEST_BYTES = 32;
export const TRAILER_BYTES: number = DIGEST_BYTES + 4 + LETTERS.length;

/** All of a spec: slices of one tensor in other formats or for other shards are other matrices. */
export function matrixKey(spec: MatrixSpec): string {
  const { name, format, rows, columns, segments, rowRange, segmentRange } = spec;
  return JSON.stringify([name, format, rows, columns, segments, ...rowRange, ...segmentRange]);
}

/** The next offset at which a matrix may lie. */
export function alignOffset(offset: number): number {
  return Math.ceil(offset / PACKED_ALIGNMENT) * PACKED_ALIGNMENT;
}

/** What follows the matrices in the file. */
export function encodeIndex(index: PackedIndex): Uint8Array {
  const text = Buffer.from(JSON.stringify(index), "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([text, sha256(text), length, Buffer.from(LETTERS, "latin1")]);
}

/** Reads the index of a file of `size` bytes. Throws Unusable. */
export function decodeIndex(size: number, read: (offset: number, length: number) => Uint8Array): PackedIndex {
  if (size < TRAILER_BYTES) throw new Unusable("it is cut short");
  const trailer = Buffer.from(read(size - TRAILER_BYTES, TRAILER_BYTES));
  if (trailer.toString("latin1", DIGEST_BYTES + 4) !== LETTERS) {
    throw new Unusable("it is cut short, or no file of packed weights");
  }
  const length = trailer.readUInt32LE(DIGEST_BYTES);
  const start = size - TRAILER_BYTES - length;
  if (length > INDEX_BYTES_MAX || start < 0) throw new Unusable("its index is damaged");
  const text = Buffer.from(read(start, length));
  if (!sha256(text).equals(trailer.subarray(0, DIGEST_BYTES))) throw new Unusable("its index is damaged");
  return checkedIndex(JSON.parse(text.toString("utf8")), start);
}

/** What is used as it is, is checked here; the rest is only compared. */
function checkedIndex(value: unknown, dataEnd: number): PackedIndex {
  const index = value as PackedIndex;
  const whole = (number: unknown): boolean => Number.isSafeInteger(number) && (number as number) >= 0;
  const fits = ({ key, offset, bytes, checksum }: PackedMatrix): boolean =>
    typeof key === "string" &&
    whole(offset) &&
    whole(bytes) &&
    offset % PACKED_ALIGNMENT === 0 &&
    offset + bytes <= dataEnd &&
    /^[0-9a-f]{16}$/.test(checksum);
  const texts = [index.version, index.model, index.digest, index.format];
  const sound = texts.every((text) => typeof text === "string") && typeof index.identity === "object";
  if (sound && Array.isArray(index.matrices) && index.matrices.every(fits)) return index;
  throw new Unusable("its index contradicts the file");
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
