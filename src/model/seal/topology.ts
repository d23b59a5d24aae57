/** What of an open model file is no tensor, as digests. */

import { createHash } from "node:crypto";
import type { GgufValue, Metadata, TensorInfo } from "../gguf/mod.ts";
import type { ModelFile } from "../program/mod.ts";
import { modelMatrices } from "../program/mod.ts";
import { PIECE_BYTES } from "./limits.ts";
import { sha256, type Topology } from "./tree.ts";

const TEMPLATE_KEY = "tokenizer.chat_template";

/** Reads everything of the file but the tensors' data. Errors: E_FILE. */
export function topologyOf(file: ModelFile): Topology {
  const { metadata, tensors, dataOffset } = file.gguf;
  const { frequencyDivisors, ...rope } = file.description.rope;
  const divisors = frequencyDivisors === undefined ? null : [...frequencyDivisors];
  const sorted = [...tensors.values()].sort((a, b) => a.offset - b.offset);
  return {
    version: 1,
    architecture: digest(JSON.stringify({ ...file.description, rope: { ...rope, divisors } })),
    tokenizer: tokenizerDigest(metadata),
    chat_template: digest(metadata.optionalString(TEMPLATE_KEY) ?? ""),
    quantization: digest(JSON.stringify(quantizationOf(file))),
    header: spanDigest(file, [[0, Math.min(dataOffset, file.source.size)]]),
    padding: spanDigest(file, gaps(sorted, dataOffset, file.source.size)),
  };
}

function digest(text: string): string {
  return sha256(text).toString("hex");
}

/** Each tensor's type, and the segments of each kind of matrix. */
function quantizationOf({ gguf, description }: ModelFile): object {
  const segments = modelMatrices(description, "i8").map(({ spec }) => [spec.name, spec.segments]);
  return { types: [...gguf.tensors.values()].map(({ name, type }) => [name, type]), segments };
}

function tokenizerDigest(metadata: Metadata): string {
  const hash = createHash("sha256");
  for (const [key, value] of metadata.entries()) {
    if (!key.startsWith("tokenizer.") || key === TEMPLATE_KEY) continue;
    hash.update(JSON.stringify([key, plain(value)]));
  }
  return hash.digest("hex");
}

function plain(entry: GgufValue): unknown {
  if (entry.type !== "array") return [entry.type, String(entry.value)];
  return [entry.of, Array.from(entry.value as ArrayLike<unknown>, String)];
}

type Span = readonly [first: number, end: number];

function gaps(sorted: readonly TensorInfo[], dataOffset: number, size: number): Span[] {
  const found: Span[] = [];
  let end = Math.min(dataOffset, size);
  for (const { offset, byteLength } of sorted) {
    if (offset > end) found.push([end, offset]);
    end = offset + byteLength;
  }
  if (size > end) found.push([end, size]);
  return found;
}

/** Of the spans' bytes, one after another. */
function spanDigest({ source }: ModelFile, spans: readonly Span[]): string {
  const hash = createHash("sha256");
  for (const [first, end] of spans) {
    for (let at = first; at < end; at += PIECE_BYTES) {
      hash.update(source.read(at, Math.min(PIECE_BYTES, end - at)));
    }
  }
  return hash.digest("hex");
}
