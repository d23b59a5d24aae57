/** Reads the metadata pairs of a header: key, kind, value. Arrays of arrays are refused, as ggml does. */

import { at } from "../../base/mod.ts";
import type { Cursor } from "./cursor.ts";
import {
  ARRAY_LENGTH_MAX,
  KEY_BYTES_MAX,
  METADATA_BYTES_TOTAL_MAX,
  METADATA_PAIRS_MAX,
  NAME_BYTES_TOTAL_MAX,
  STRING_BYTES_MAX,
} from "./limits.ts";
import { Metadata } from "./metadata.ts";
import {
  type FixedArray,
  type FixedKind,
  fixedLayouts,
  type GgufArray,
  type GgufValue,
  narrowLong,
  type ScalarKind,
  valueKinds,
} from "./value.ts";

/** A pair is at least an empty key's length, a kind and one byte. */
const PAIR_BYTES_MIN = 8 + 4 + 1;
export const METADATA_PAIRS_BOUND: { readonly max: number; readonly bytesEach: number } = {
  max: METADATA_PAIRS_MAX,
  bytesEach: PAIR_BYTES_MIN,
};
/** An array's string is at least its length. */
const STRING_BYTES_MIN = 8;

/** `count` pairs. Errors: E_GGUF, E_GGUF_LIMIT. */
export function readMetadata(cursor: Cursor, count: number): Metadata {
  const values = new Map<string, GgufValue>();
  const first = cursor.position;
  let keyBytes = 0;
  for (let i = 0; i < count; i++) {
    const start = cursor.position;
    const key = cursor.name("a metadata key", KEY_BYTES_MAX);
    keyBytes += cursor.position - start;
    if (keyBytes > NAME_BYTES_TOTAL_MAX) {
      throw cursor.error("E_GGUF_LIMIT", `its keys take more than ${NAME_BYTES_TOTAL_MAX} bytes.`);
    }
    if (values.has(key)) throw cursor.error("E_GGUF", `the metadata key "${key}" appears twice.`);
    values.set(key, readValue(cursor, `the value of "${key}"`));
    if (cursor.position - first > METADATA_BYTES_TOTAL_MAX) {
      throw cursor.error("E_GGUF_LIMIT", `its metadata take more than ${METADATA_BYTES_TOTAL_MAX} bytes.`);
    }
  }
  return new Metadata(values);
}

function readValue(cursor: Cursor, what: string): GgufValue {
  const kind = readKind(cursor, what);
  if (kind === "array") return readArray(cursor, what);
  if (kind === "string") return { type: kind, value: cursor.text(what, STRING_BYTES_MAX) };
  const value = at<number | bigint>(readFixed(cursor, { kind, count: 1, what }), 0);
  if (kind === "bool") return { type: kind, value: value === 1 };
  if (kind === "u64" || kind === "i64") return { type: kind, value: narrowLong(BigInt(value)) };
  return { type: kind, value: Number(value) };
}

function readKind(cursor: Cursor, what: string): ScalarKind | "array" {
  const number = cursor.u32(what);
  const kind = valueKinds[number];
  if (kind === undefined) throw cursor.error("E_GGUF", `${what} is of the unknown kind ${number}.`);
  return kind;
}

function readArray(cursor: Cursor, what: string): GgufArray {
  const of = readKind(cursor, what);
  if (of === "array")
    throw cursor.error("E_GGUF_LIMIT", `${what} is an array of arrays; one level is accepted.`);
  const bytesEach = of === "string" ? STRING_BYTES_MIN : fixedLayouts[of].bytes;
  const count = cursor.count(`the length of ${what}`, { max: ARRAY_LENGTH_MAX, bytesEach });
  if (of !== "string")
    return { type: "array", of, value: readFixed(cursor, { kind: of, count, what }) } as GgufArray;
  const value: string[] = [];
  for (let i = 0; i < count; i++) value.push(cursor.text(what, STRING_BYTES_MAX));
  return { type: "array", of, value };
}

interface FixedRead {
  readonly kind: FixedKind;
  readonly count: number;
  readonly what: string;
}

function readFixed(cursor: Cursor, read: FixedRead): FixedArray {
  const layout = fixedLayouts[read.kind];
  const bytes = cursor.bytes(read.count * layout.bytes, read.what);
  if (read.kind === "bool" && bytes.some((byte) => byte > 1)) {
    throw cursor.error("E_GGUF", `${read.what} holds a boolean that is neither 0 nor 1.`);
  }
  return layout.view(bytes.buffer);
}
