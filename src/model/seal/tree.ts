/**
 * The model root: a Merkle tree (RFC 6962, section 2.1, SHA-256) whose first leaf is the topology and whose others are the
 * tensors, by name. docs/reference/seal.md is this as text.
 */

import { createHash } from "node:crypto";
import { assert, at } from "../../base/mod.ts";
import type { TensorInfo } from "../gguf/mod.ts";
import { CHUNK_BYTES } from "./limits.ts";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
export const HASH_BYTES = 32;

/** SHA-256 of the parts in a row. */
export function sha256(...parts: readonly (Uint8Array | string)[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The hash of a leaf of JSON: members in the order in which they are written here, without white space. */
function jsonLeaf(value: object): Buffer {
  return sha256(LEAF, JSON.stringify(value));
}

/** The root over hashes of leaves. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return at(leaves, 0);
  // The largest power of two below the number of leaves.
  const half = 1 << (31 - Math.clz32(leaves.length - 1));
  return sha256(NODE, merkleRoot(leaves.slice(0, half)), merkleRoot(leaves.slice(half)));
}

/** A tensor's digest in hexadecimal: the hash of its leaf. `hashes`: those of its chunks' leaves, one after another. */
export function tensorDigest({ name, type, shape, byteLength }: TensorInfo, hashes: Uint8Array): string {
  assert(hashes.length === HASH_BYTES * Math.ceil(byteLength / CHUNK_BYTES), `${name} is hashed in whole.`);
  const leaves = Array.from({ length: hashes.length / HASH_BYTES }, (_, i) =>
    hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
  const data = Buffer.from(merkleRoot(leaves)).toString("hex");
  return jsonLeaf({ name, dtype: type, shape, bytes: byteLength, data }).toString("hex");
}

/** What of a model is no tensor; each a SHA-256 in hexadecimal. */
export interface Topology {
  readonly version: 1;
  /** Of the `ModelDescription`: widths, layers, heads, RoPE. */
  readonly architecture: string;
  /** Of every `tokenizer.` value but the template. */
  readonly tokenizer: string;
  readonly chat_template: string;
  /** Of how tensors are held in the file, and into how many segments each kind of matrix is cut. */
  readonly quantization: string;
  /** Of the bytes before the tensors' data: all metadata, and the table of tensors. */
  readonly header: string;
  /** Of the bytes between the tensors and after them. */
  readonly padding: string;
}

/** What a model is, as it was sealed or found: the root follows from the rest. */
export interface ModelSeal {
  /** SHA-256 in hexadecimal. */
  readonly root: string;
  readonly topology: Topology;
  /** Digests by the tensors' names, which are sorted by their UTF-16 code units. */
  readonly tensors: Readonly<Record<string, string>>;
}

/** The parts of a topology, in the order in which they are hashed. */
export const topologyParts = [
  "architecture",
  "tokenizer",
  "chat_template",
  "quantization",
  "header",
  "padding",
] as const;

/** Of a topology as JSON with its members in this order. */
export function topologyDigest(topology: Topology): string {
  const ordered = Object.fromEntries(topologyParts.map((part) => [part, topology[part]]));
  return jsonLeaf({ version: topology.version, ...ordered }).toString("hex");
}

export function sealOf(topology: Topology, digests: ReadonlyMap<string, string>): ModelSeal {
  const sorted = [...digests].sort(([a], [b]) => (a < b ? -1 : 1));
  const leaves = [topologyDigest(topology), ...sorted.map(([, digest]) => digest)];
  const root = Buffer.from(merkleRoot(leaves.map((leaf) => Buffer.from(leaf, "hex")))).toString("hex");
  // Without a prototype, so that a tensor may have any name.
  const tensors: Record<string, string> = Object.assign(Object.create(null), Object.fromEntries(sorted));
  return { root, topology, tensors };
}
