/** Random attention: a sequence written to scattered pages, then queries at several of its positions. */

import { KV_PAGE_TOKENS, type KvFormat, OP } from "../../src/kernels/mod.ts";
import { bitsOf, f32Buffer } from "./cases.ts";
import type { CaseStep, KernelCase } from "./kernel-case.ts";
import { type Random, randomValues, type Style } from "./random.ts";

interface AttentionShape {
  readonly format: KvFormat;
  readonly layers: number;
  readonly kvHeads: number;
  readonly queryHeads: number;
  readonly headDim: number;
  readonly positions: number;
  /** Of queries, keys and values; by default any. */
  readonly style?: Style;
}

const headDims: readonly number[] = [8, 16, 20, 32, 33, 64, 80, 128];

export function randomAttentionShape(random: Random): AttentionShape {
  const headDim = random.pick(headDims);
  const kvHeads = random.between(1, headDim > 40 ? 1 : 3);
  const positions = random.chance(3) ? random.between(257, headDim > 40 ? 300 : 700) : random.between(1, 120);
  return {
    format: random.pick(["f16", "f32", "i8"]),
    layers: 2,
    kvHeads,
    queryHeads: kvHeads * random.between(1, 8),
    headDim,
    positions,
  };
}

const styles: readonly Style[] = ["gentle", "gentle", "plain", "plain", "outliers", "tiny", "wild"];

export function attentionCase(
  random: Random,
  shape: AttentionShape = randomAttentionShape(random),
): KernelCase {
  const { format, layers, kvHeads, queryHeads, headDim, positions } = shape;
  const pageCount = Math.ceil(positions / KV_PAGE_TOKENS);
  const kvPages = pageCount + random.between(0, 3);
  const pages = random.shuffled(kvPages).slice(0, pageCount);
  const layer = random.between(0, layers - 1);
  const { asked, pageStart } = askedRows(random, positions, pageCount);
  const rows = asked.length;
  // Scores beyond a few tens leave a single position with all the weight; both kinds are wanted.
  const queries = randomValues(random, rows * queryHeads * headDim, shape.style ?? random.pick(styles));
  const ask: CaseStep = {
    tape: [OP.ATTENTION, 3, 2, layer, 0, kvHeads, queryHeads, bitsOf(1 / Math.sqrt(headDim))],
    rows,
    outputs: 0,
    positions: asked,
    pageStart,
    pages: [...pages, ...pages],
    inputs: [[2, queries]],
    reads: [3],
  };
  return {
    name: `${format} attention ${queryHeads}/${kvHeads} heads of ${headDim}, ${positions} positions`,
    matrices: [],
    vectors: [],
    kv: { format, pages: kvPages, layers, heads: kvHeads, headDim },
    buffers: [kvHeads * headDim, kvHeads * headDim, queryHeads * headDim, queryHeads * headDim].map((width) =>
      f32Buffer(width),
    ),
    steps: [writeStep(random, { ...shape, layer, pages }), ask],
  };
}

/**
 * Rows of a step that asks: of two sequences that share all their pages, each at the last position, at scattered ones or
 * at consecutive ones, as when a prompt is read.
 */
function askedRows(random: Random, positions: number, pageCount: number): AskedRows {
  const asked = [positions - 1];
  const pageStart = [0];
  for (let part = random.between(0, 3); part > 0; part--) {
    const first = random.between(0, positions - 1);
    const count = random.chance(2) ? 1 : Math.min(positions - first, random.between(2, 20));
    const start = random.pick([0, pageCount]);
    for (let row = 0; row < count; row++) {
      asked.push(first + row);
      pageStart.push(start);
    }
  }
  return { asked, pageStart };
}

interface AskedRows {
  /** Positions. */
  readonly asked: readonly number[];
  readonly pageStart: readonly number[];
}

/** All positions in one step, as a prefill writes them. */
function writeStep(random: Random, shape: AttentionShape & { layer: number; pages: number[] }): CaseStep {
  const { kvHeads, headDim, positions, layer, pages } = shape;
  const inputs = [0, 1].map(
    (buffer) =>
      [
        buffer,
        randomValues(random, positions * kvHeads * headDim, shape.style ?? random.pick(styles)),
      ] as const,
  );
  return {
    tape: [OP.KV_WRITE, 0, 1, layer, 0, kvHeads],
    rows: positions,
    outputs: 0,
    positions: Array.from({ length: positions }, (_, position) => position),
    pageStart: Array.from({ length: positions }, () => 0),
    pages,
    inputs,
    reads: [],
  };
}
