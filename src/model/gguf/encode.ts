/** Lays out a GGUF file, version 3, as a run of byte chunks: header first, then each tensor's data, padded. */

import { assert, at } from "../../base/mod.ts";
import { type SourceType, sourceByteLength, sourceTypeId } from "../../tensor/mod.ts";
import { ALIGNMENT_DEFAULT } from "./limits.ts";
import { ALIGNMENT_KEY } from "./reader.ts";
import { fixedLayouts, type GgufScalar, type GgufValue, type ScalarKind, valueKinds } from "./value.ts";

export interface TensorContent {
  readonly name: string;
  readonly type: SourceType;
  /** ggml's order: the fastest dimension first. */
  readonly shape: readonly number[];
  /** An earlier tensor of this type and shape whose bytes are also this one's, so that they are there once. */
  readonly sameAs?: string | undefined;
  /** The encoded data in order; not asked for where they are another's. A chunk is written before the next is asked for, so its buffer may be reused. */
  data(): Iterable<Uint8Array>;
}

export interface GgufContent {
  /** `general.alignment`, if given, is obeyed; the data are aligned to 32 bytes without it. */
  readonly metadata: Iterable<readonly [string, GgufValue]>;
  readonly tensors: Iterable<TensorContent>;
}

/** A file laid out: its size, and its bytes in order. */
export interface GgufLayout {
  readonly byteLength: number;
  chunks(): Iterable<Uint8Array>;
}

const VERSION = 3;
const encoder = new TextEncoder();

export function layoutGguf(content: GgufContent): GgufLayout {
  const metadata = [...content.metadata];
  const tensors = [...content.tensors];
  const alignment = alignmentOf(metadata);
  const header = new HeaderWriter();
  header.fixed("u8", encoder.encode("GGUF"));
  header.fixed("u32", [VERSION]);
  header.long(tensors.length);
  header.long(metadata.length);
  for (const [key, value] of metadata) writePair(header, key, value);
  let dataLength = 0;
  const offsets = new Map<string, number>();
  for (const tensor of tensors) {
    const shared = tensor.sameAs === undefined ? undefined : offsets.get(tensor.sameAs);
    assert(shared !== undefined || tensor.sameAs === undefined, `No tensor ${tensor.sameAs} comes before.`);
    offsets.set(tensor.name, shared ?? dataLength);
    writeTensorEntry(header, tensor, shared ?? dataLength);
    if (shared === undefined) dataLength += paddedTo(alignment, contentByteLength(tensor));
  }
  const head = header.concat(alignment);
  return {
    byteLength: head.length + dataLength,
    *chunks() {
      yield head;
      for (const tensor of tensors) if (tensor.sameAs === undefined) yield* tensorChunks(tensor, alignment);
    },
  };
}

/** The whole file in memory, for small ones. */
export function encodeGguf(content: GgufContent): Uint8Array {
  const layout = layoutGguf(content);
  const bytes = new Uint8Array(layout.byteLength);
  let offset = 0;
  for (const chunk of layout.chunks()) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function alignmentOf(metadata: readonly (readonly [string, GgufValue])[]): number {
  const value = metadata.find(([key]) => key === ALIGNMENT_KEY)?.[1].value ?? ALIGNMENT_DEFAULT;
  assert(typeof value === "number" && value > 0, "The alignment should be a positive number.");
  return value;
}

function paddedTo(alignment: number, length: number): number {
  return Math.ceil(length / alignment) * alignment;
}

function contentByteLength(tensor: TensorContent): number {
  return sourceByteLength(
    tensor.type,
    tensor.shape.reduce((product, dimension) => product * dimension, 1),
  );
}

function* tensorChunks(tensor: TensorContent, alignment: number): Iterable<Uint8Array> {
  const expected = contentByteLength(tensor);
  let length = 0;
  for (const chunk of tensor.data()) {
    length += chunk.length;
    yield chunk;
  }
  assert(length === expected, `Tensor "${tensor.name}" gave ${length} bytes of ${expected}.`);
  yield new Uint8Array(paddedTo(alignment, length) - length);
}

function writeTensorEntry(header: HeaderWriter, tensor: TensorContent, offset: number): void {
  header.text(tensor.name);
  header.fixed("u32", [tensor.shape.length]);
  for (const dimension of tensor.shape) header.long(dimension);
  header.fixed("u32", [sourceTypeId(tensor.type)]);
  header.long(offset);
}

function writePair(header: HeaderWriter, key: string, value: GgufValue): void {
  header.text(key);
  header.kind(value.type);
  if (value.type !== "array") {
    writeScalar(header, value);
    return;
  }
  header.kind(value.of);
  header.long(value.value.length);
  if (value.of === "string") for (const text of value.value) header.text(text);
  else header.raw(new Uint8Array(value.value.buffer, value.value.byteOffset, value.value.byteLength));
}

function writeScalar(header: HeaderWriter, scalar: GgufScalar): void {
  if (scalar.type === "string") header.text(scalar.value);
  else if (scalar.type === "u64" || scalar.type === "i64") header.fixed(scalar.type, [BigInt(scalar.value)]);
  else header.fixed(scalar.type, [Number(scalar.value)]);
}

/** Collects a header's pieces. */
class HeaderWriter {
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  raw(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  fixed(kind: Exclude<ScalarKind, "string">, values: ArrayLike<number | bigint>): void {
    const { bytes, view } = fixedLayouts[kind];
    const buffer = new ArrayBuffer(values.length * bytes);
    const elements = view(buffer) as { [index: number]: number | bigint };
    for (let i = 0; i < values.length; i++) elements[i] = at(values, i);
    this.raw(new Uint8Array(buffer));
  }

  long(value: number): void {
    this.fixed("u64", [BigInt(value)]);
  }

  kind(kind: ScalarKind | "array"): void {
    this.fixed("u32", [valueKinds.indexOf(kind)]);
  }

  text(text: string): void {
    const bytes = encoder.encode(text);
    this.long(bytes.length);
    this.raw(bytes);
  }

  /** All pieces, padded with zeros to the alignment. */
  concat(alignment: number): Uint8Array {
    const bytes = new Uint8Array(paddedTo(alignment, this.#length));
    let offset = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, offset);
      offset += piece.length;
    }
    return bytes;
  }
}
