/**
 * Files of tensors (huggingface/safetensors, "Format"): the header's length in 64 bits, little endian, the header as JSON, then the
 * tensors' bytes without a hole. Nothing that a header claims is believed before it is checked.
 */

import { ClawError } from "../../base/mod.ts";
import { type SourceType, sourceByteLength } from "../../tensor/mod.ts";
import type { ByteSource } from "../gguf/mod.ts";
import { HEADER_BYTES_MAX, TENSORS_MAX } from "./limits.ts";

export interface SafeTensor {
  readonly name: string;
  readonly type: SourceType;
  /** Row-major, the slowest dimension first. */
  readonly shape: readonly number[];
  /** In the file. */
  readonly offset: number;
  readonly byteLength: number;
}

const LENGTH_BYTES = 8;
const METADATA = "__metadata__";
const types: readonly string[] = ["F32", "F16", "BF16"] satisfies readonly SourceType[];
const DIMENSIONS_MAX = 8;

/** The tensors of a file by their names. Errors: E_FILE; E_ADAPTER for what is no such file, or of other types than floats. */
export function readSafetensors(source: ByteSource): ReadonlyMap<string, SafeTensor> {
  const refuse = (why: string): never => {
    throw new ClawError("E_ADAPTER", `Reading ${source.name}: ${why}.`);
  };
  if (source.size < LENGTH_BYTES) return refuse("it ends before its header");
  const length = new DataView(source.read(0, LENGTH_BYTES).buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(HEADER_BYTES_MAX, source.size - LENGTH_BYTES))) {
    return refuse(`its header of ${length} bytes is beyond the file, or beyond ${HEADER_BYTES_MAX}`);
  }
  const start = LENGTH_BYTES + Number(length);
  const header = parseHeader(source.read(LENGTH_BYTES, Number(length)));
  if (header === undefined) return refuse("its header is no JSON object");
  const entries = Object.entries(header).filter(([name]) => name !== METADATA);
  if (entries.length > TENSORS_MAX) return refuse(`it has more than ${TENSORS_MAX} tensors`);
  const tensors = entries.map(([name, entry]) => {
    const found = tensorOf(name, entry, source.size - start);
    return typeof found === "string" ? refuse(`${shown(name)} ${found}`) : found;
  });
  const misplaced = firstMisplaced(tensors, source.size - start);
  if (misplaced !== undefined) return refuse(misplaced);
  return new Map(tensors.map((tensor) => [tensor.name, { ...tensor, offset: start + tensor.offset }]));
}

function parseHeader(bytes: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The tensor, its offset counted from the end of the header, or what is wrong with it. */
function tensorOf(name: string, entry: unknown, bytes: number): SafeTensor | string {
  if (typeof entry !== "object" || entry === null) return "is no object";
  const { dtype, shape, data_offsets: offsets } = entry as Readonly<Record<string, unknown>>;
  if (typeof dtype !== "string" || !types.includes(dtype)) return `is not one of ${types.join(", ")}`;
  const type = dtype as SourceType;
  if (!isCounts(shape) || shape.length > DIMENSIONS_MAX) return "has no shape";
  if (!isCounts(offsets) || offsets.length !== 2) return "has no place";
  const [offset = 0, end = 0] = offsets;
  if (offset > end || end > bytes) return `lies at ${offset} to ${end}, outside of ${bytes} bytes`;
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count) || end - offset !== sourceByteLength(type, count)) {
    return `takes ${end - offset} bytes; its shape wants another number`;
  }
  return { name, type, shape, offset, byteLength: end - offset };
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** The specification wants neither holes nor overlaps: every byte belongs to one tensor. */
function firstMisplaced(tensors: readonly SafeTensor[], bytes: number): string | undefined {
  let next = 0;
  for (const { name, offset, byteLength } of tensors.toSorted((a, b) => a.offset - b.offset)) {
    if (offset !== next) return `${shown(name)} lies at ${offset}, and the tensors before it end at ${next}`;
    next = offset + byteLength;
  }
  return next === bytes ? undefined : `its tensors end at ${next} of ${bytes} bytes`;
}

const SHOWN_LENGTH = 120;

function shown(name: string): string {
  return JSON.stringify(name.slice(0, SHOWN_LENGTH));
}

export interface SafeTensorContent {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A file of f32 tensors. */
export function encodeSafetensors(
  tensors: readonly SafeTensorContent[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, shape, values }) => {
    const begin = end;
    end += values.byteLength;
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] }] as const;
  });
  const text = JSON.stringify({ [METADATA]: metadata, ...Object.fromEntries(entries) });
  // Spaces after the header keep the tensors aligned.
  const padded = text.padEnd(Math.ceil(Buffer.byteLength(text) / LENGTH_BYTES) * LENGTH_BYTES);
  const header = new TextEncoder().encode(padded);
  const bytes = new Uint8Array(LENGTH_BYTES + header.length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, LENGTH_BYTES);
  let offset = LENGTH_BYTES + header.length;
  for (const { values } of tensors) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offset);
    offset += values.byteLength;
  }
  return bytes;
}
