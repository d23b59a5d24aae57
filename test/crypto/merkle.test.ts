/** The Merkle tree against published vectors, good and bad, and proofs of our own against their definition. */

import { existsSync, globSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  emptyRoot,
  leafHash,
  nodeHash,
  toHex,
  utf8,
  verifyConsistency,
  verifyInclusion,
} from "../../src/crypto/mod.ts";
import { consistencyProof, inclusionProof } from "../../src/ledger/mod.ts";
import { MemoryTree } from "../ledger/memory-tree.ts";

const VECTORS = "../shared/vectors/tlog";
const present = existsSync(VECTORS);
const why = present ? "" : " (skipped: ../shared is not there)";

interface InclusionVector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}

interface ConsistencyVector {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

function vectors<T>(kind: string): (readonly [string, T])[] {
  return globSync(`${VECTORS}/${kind}/**/*.json`).map((path) => [
    path,
    JSON.parse(readFileSync(path, "utf8")) as T,
  ]);
}

function accepts(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    expect((error as { code?: string }).code).toBe("E_PROOF");
    return false;
  }
}

describe.skipIf(!present)(`published vectors${why}`, () => {
  test("inclusion proofs", () => {
    const cases = vectors<InclusionVector>("inclusion");
    const outcomes = cases.map(([path, vector]) => {
      const { leafIdx: index, treeSize: size, wantErr } = vector;
      const claim = { leaf: bytes(vector.leafHash), index, size, root: bytes(vector.root) };
      const accepted = accepts(() => verifyInclusion((vector.proof ?? []).map(bytes), claim));
      expect(accepted, path).toBe(!wantErr);
      return accepted;
    });
    expect(outcomes.filter((accepted) => accepted).length).toBeGreaterThanOrEqual(4);
    expect(outcomes.filter((accepted) => !accepted).length).toBeGreaterThanOrEqual(50);
  });

  test("consistency proofs", () => {
    const cases = vectors<ConsistencyVector>("consistency");
    const outcomes = cases.map(([path, vector]) => {
      const [older, newer] = [
        { size: vector.size1, root: bytes(vector.root1) },
        { size: vector.size2, root: bytes(vector.root2) },
      ];
      const accepted = accepts(() => verifyConsistency((vector.proof ?? []).map(bytes), older, newer));
      expect(accepted, path).toBe(!vector.wantErr);
      return accepted;
    });
    expect(outcomes.filter((accepted) => accepted).length).toBeGreaterThanOrEqual(4);
    expect(outcomes.filter((accepted) => !accepted).length).toBeGreaterThanOrEqual(30);
  });
});

test("the empty tree, a leaf and a node hash as RFC 6962 says", () => {
  expect(toHex(emptyRoot())).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // The first two trees of the RFC's own test implementation.
  expect(toHex(leafHash(new Uint8Array()))).toBe(
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  );
  const pair = nodeHash(leafHash(new Uint8Array()), leafHash(Uint8Array.of(0)));
  expect(toHex(pair)).toBe("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
});

test("proofs from tiles verify, and no other claim does", async () => {
  const tree = new MemoryTree(Array.from({ length: 700 }, (_, i) => utf8(`entry ${i}`)));
  const sizes = fc.integer({ min: 1, max: 700 });
  let checked = 0;
  await fc.assert(
    fc.asyncProperty(sizes, sizes, fc.nat(), async (a, b, place) => {
      const [older, newer] = a < b ? [a, b] : [b, a];
      const index = place % newer;
      const inclusion = await inclusionProof(index, newer, tree.reader(newer));
      const claim = { leaf: tree.leaf(index), index, size: newer, root: tree.root(newer) };
      verifyInclusion(inclusion, claim);
      const heads = [older, newer].map((size) => ({ size, root: tree.root(size) })) as [never, never];
      verifyConsistency(await consistencyProof(older, newer, tree.reader(newer)), ...heads);
      const other = { ...claim, leaf: tree.leaf((index + 1) % newer) };
      if (newer > 1) expect(accepts(() => verifyInclusion(inclusion, other))).toBe(false);
      if (older < newer) expect(accepts(() => verifyConsistency([], ...heads))).toBe(false);
      checked++;
    }),
    { numRuns: 300 },
  );
  expect(checked).toBe(300);
});
