/**
 * GGUF's metadata values: each carries its kind, so that what was read can be written again unchanged. Source: the
 * GGUF specification of the ggml project, version 3 (version 2 has the same layout).
 */

export type NumberKind = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64";
export type LongKind = "u64" | "i64";
/** The kinds with values of a fixed size. */
export type FixedKind = NumberKind | LongKind | "bool";
export type ScalarKind = FixedKind | "string";

/** What an array of each kind is held in. Booleans are bytes, 0 or 1. */
export interface ArrayHolder {
  u8: Uint8Array;
  i8: Int8Array;
  u16: Uint16Array;
  i16: Int16Array;
  u32: Uint32Array;
  i32: Int32Array;
  f32: Float32Array;
  f64: Float64Array;
  u64: BigUint64Array;
  i64: BigInt64Array;
  bool: Uint8Array;
  string: readonly string[];
}

export type FixedArray = ArrayHolder[FixedKind];

export type GgufArray = {
  [Kind in ScalarKind]: { readonly type: "array"; readonly of: Kind; readonly value: ArrayHolder[Kind] };
}[ScalarKind];

export type GgufScalar =
  | { readonly type: NumberKind; readonly value: number }
  /** A number where it is exact (magnitude below 2^53), else a bigint. */
  | { readonly type: LongKind; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string };

export type GgufValue = GgufScalar | GgufArray;

interface FixedLayout {
  readonly bytes: number;
  /** A typed array over `buffer`, which holds whole elements. */
  view(buffer: ArrayBuffer): FixedArray;
}

export const fixedLayouts: Readonly<Record<FixedKind, FixedLayout>> = {
  u8: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  i8: { bytes: 1, view: (buffer) => new Int8Array(buffer) },
  u16: { bytes: 2, view: (buffer) => new Uint16Array(buffer) },
  i16: { bytes: 2, view: (buffer) => new Int16Array(buffer) },
  u32: { bytes: 4, view: (buffer) => new Uint32Array(buffer) },
  i32: { bytes: 4, view: (buffer) => new Int32Array(buffer) },
  f32: { bytes: 4, view: (buffer) => new Float32Array(buffer) },
  bool: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  u64: { bytes: 8, view: (buffer) => new BigUint64Array(buffer) },
  i64: { bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  f64: { bytes: 8, view: (buffer) => new Float64Array(buffer) },
};

/** The file's number of each kind. */
export const valueKinds: readonly (ScalarKind | "array")[] = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
];

/** A 64-bit integer as a number where that is exact, else unchanged. */
export function narrowLong(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
