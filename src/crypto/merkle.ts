/**
 * The Merkle tree of RFC 6962, section 2.1, over SHA-256, and the verification of its proofs (RFC 9162, sections 2.1.3.2
 * and 2.1.4.2, which describe it step by step). Pure and without Node, so that a browser can verify, too.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { ClawError } from "../base/mod.ts";
import { concat, equalBytes } from "./bytes.ts";

/** Bytes of a hash. */
export const HASH_BYTES = 32;

/** Hashes a proof has at most: trees are smaller than 2^53. */
export const PROOF_HASHES_MAX = 63;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The root of the tree without leaves. */
export function emptyRoot(): Uint8Array {
  return sha256(new Uint8Array());
}

export function leafHash(entry: Uint8Array): Uint8Array {
  return sha256(concat(LEAF, entry));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

export interface InclusionClaim {
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
}

/** Checks that `leaf` is the entry `index` of the tree with `size` leaves and `root`. Errors: E_PROOF. */
export function verifyInclusion(proof: readonly Uint8Array[], claim: InclusionClaim): void {
  const { leaf, index, size, root } = claim;
  if (!isCount(index) || !isCount(size) || index >= size) {
    throw new ClawError("E_PROOF", `A tree of ${size} entries has no entry ${index}.`);
  }
  checkHashes([leaf, root, ...proof]);
  let [node, last, hash] = [BigInt(index), BigInt(size - 1), leaf];
  for (const sibling of proof) {
    if (last === 0n) throw wrongProof("inclusion");
    if ((node & 1n) === 1n || node === last) {
      hash = nodeHash(sibling, hash);
      while ((node & 1n) === 0n && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  if (last !== 0n || !equalBytes(hash, root)) throw wrongProof("inclusion");
}

/** A tree by its size and root. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/** Checks that the tree `older` is the beginning of the tree `newer`. Errors: E_PROOF. */
export function verifyConsistency(proof: readonly Uint8Array[], older: TreeHead, newer: TreeHead): void {
  if (!isCount(older.size) || !isCount(newer.size) || older.size > newer.size) {
    throw new ClawError("E_PROOF", `A tree of ${newer.size} entries does not begin with ${older.size}.`);
  }
  checkHashes([older.root, newer.root, ...proof]);
  if (older.size === newer.size || older.size === 0) verifyTrivial(proof, older, newer);
  else verifyGrowth(proof, older, newer);
}

function verifyGrowth(proof: readonly Uint8Array[], older: TreeHead, newer: TreeHead): void {
  // The proof leaves out the old tree's root where it is a whole subtree of the new one.
  const steps = isPowerOfTwo(older.size) ? [older.root, ...proof] : proof;
  let [node, last] = [BigInt(older.size - 1), BigInt(newer.size - 1)];
  while ((node & 1n) === 1n) [node, last] = [node >> 1n, last >> 1n];
  const [first, ...rest] = steps;
  if (first === undefined || rest.length === 0) throw wrongProof("consistency");
  let [oldHash, newHash] = [first, first];
  for (const sibling of rest) {
    if (last === 0n) throw wrongProof("consistency");
    if ((node & 1n) === 1n || node === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while ((node & 1n) === 0n && node !== 0n) [node, last] = [node >> 1n, last >> 1n];
    } else {
      newHash = nodeHash(newHash, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  const agree = equalBytes(oldHash, older.root) && equalBytes(newHash, newer.root);
  if (last !== 0n || !agree) throw wrongProof("consistency");
}

/** Equal trees have equal roots; every tree begins with the empty one, whose root is known. */
function verifyTrivial(proof: readonly Uint8Array[], older: TreeHead, newer: TreeHead): void {
  const expected = older.size === 0 ? emptyRoot() : newer.root;
  const same = older.size === newer.size ? equalBytes(older.root, newer.root) : true;
  if (proof.length > 0 || !same || !equalBytes(older.root, expected)) throw wrongProof("consistency");
}

function checkHashes(hashes: readonly Uint8Array[]): void {
  if (hashes.length > PROOF_HASHES_MAX + 2) {
    throw new ClawError("E_PROOF", `The proof has ${hashes.length - 2} hashes; ${PROOF_HASHES_MAX} at most.`);
  }
  for (const { length } of hashes) {
    if (length !== HASH_BYTES)
      throw new ClawError("E_PROOF", `A hash has ${length} bytes, not ${HASH_BYTES}.`);
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isPowerOfTwo(value: number): boolean {
  return (BigInt(value) & BigInt(value - 1)) === 0n;
}

function wrongProof(kind: string): ClawError {
  return new ClawError("E_PROOF", `The ${kind} proof does not lead to the root.`);
}
