/**
 * A small transformer layer with everything around it, as a model's program has it: what one operation writes the
 * next ones read, which single operations cannot show to be in order on several threads.
 */

import { type BufferSpec, KV_PAGE_TOKENS, OP } from "../../src/kernels/mod.ts";
import { bitsOf, f32Buffer, formats, randomMatrix } from "./cases.ts";
import type { CaseMatrix, CaseStep, KernelCase } from "./kernel-case.ts";
import { type Random, randomValues } from "./random.ts";

const POSITIONS = 3 * KV_PAGE_TOKENS;

export function layerCase(random: Random): KernelCase {
  const format = random.pick(formats);
  const headDim = 2 * random.between(2, 8);
  const kvHeads = random.between(1, 2);
  const heads = kvHeads * random.between(1, 3);
  const width = heads * headDim;
  const kvWidth = kvHeads * headDim;
  const hidden = 4 * random.between(2, 30);
  const vocabulary = random.between(20, 50);
  const matrix = (rows: number, columns: number, segments: number): CaseMatrix =>
    randomMatrix(random, { format, rows, columns, segments }, "plain");
  const quantized = (columns: number, segments: number): BufferSpec => ({
    kind: "quantized",
    name: "q",
    domain: "tokens",
    width: columns,
    segments,
    format: format === "i4" ? "i4" : "i8",
  });
  const f16 = format === "f16";
  // 0 x, 1 normed, 2 normed quantized, 3 q, 4 k, 5 v, 6 attended, 7 attended quantized, 8 branch, 9 gate, 10 up,
  // 11 gated, 12 gated quantized, 13 gathered, 14 final norm, 15 logits
  const buffers: BufferSpec[] = [
    ...[f32Buffer(width), f32Buffer(width), quantized(width, kvHeads)],
    ...[
      f32Buffer(width),
      f32Buffer(kvWidth),
      f32Buffer(kvWidth),
      f32Buffer(width),
      quantized(width, kvHeads),
    ],
    ...[f32Buffer(width), f32Buffer(hidden), f32Buffer(hidden), f32Buffer(hidden), quantized(hidden, 4)],
    ...[f32Buffer(width, "outputs"), f32Buffer(width, "outputs"), f32Buffer(vocabulary, "outputs")],
  ];
  const product = (dst: number, src: number, id: string): (number | string)[] =>
    f16 ? [OP.LINEAR, dst, src, id] : [OP.LINEAR, dst, src + 1, id];
  const quantize = (src: number): number[] => (f16 ? [] : [OP.QUANTIZE, src + 1, src]);
  const norm = (dst: number, src: number): (number | string)[] => [OP.RMS_NORM, dst, src, "v0", bitsOf(1e-5)];
  const scale = bitsOf(1 / Math.sqrt(headDim));
  const tape = [
    ...[OP.EMBED, 0, "m0", ...norm(1, 0), ...quantize(1)],
    ...[...product(3, 1, "m1"), ...product(4, 1, "m2"), ...product(5, 1, "m3")],
    ...[OP.ROPE, 3, "v1", heads, headDim, 0, OP.ROPE, 4, "v1", kvHeads, headDim, 0],
    ...[OP.KV_WRITE, 4, 5, 0, 0, kvHeads, OP.ATTENTION, 6, 3, 0, 0, kvHeads, heads, scale, ...quantize(6)],
    ...[...product(8, 6, "m4"), OP.ADD, 0, 0, 8, ...norm(1, 0), ...quantize(1)],
    ...[...product(9, 1, "m5"), ...product(10, 1, "m6"), OP.SILU_MUL, 11, 9, 10, ...quantize(11)],
    ...[...product(8, 11, "m7"), OP.ADD, 0, 0, 8, OP.GATHER, 13, 0, ...norm(14, 13)],
  ];
  return {
    name: `layer ${format} ${width} x ${hidden}, ${heads}/${kvHeads} heads of ${headDim}`,
    matrices: [
      ...[matrix(vocabulary, width, kvHeads), matrix(width, width, kvHeads), matrix(kvWidth, width, kvHeads)],
      ...[matrix(kvWidth, width, kvHeads), matrix(width, width, kvHeads), matrix(hidden, width, kvHeads)],
      ...[matrix(hidden, width, kvHeads), matrix(width, hidden, 4)],
    ],
    vectors: [randomValues(random, width, "plain"), randomValues(random, POSITIONS * headDim, "plain")],
    kv: {
      format: random.pick(["f16", "f32"]),
      pages: 6,
      layers: 1,
      heads: kvHeads,
      headDim,
    },
    buffers,
    steps: layerSteps(random, tape, vocabulary),
  };
}

/** Two sequences, one filled by a first step, both fed by the second. */
function layerSteps(random: Random, tape: readonly (number | string)[], vocabulary: number): CaseStep[] {
  const pages = random.shuffled(6);
  const first = random.between(1, 40);
  const second = random.between(1, 12);
  const token = (): number => random.between(0, vocabulary - 1);
  const positions = Array.from({ length: first }, (_, index) => index);
  const step = (rows: readonly (readonly [position: number, pageStart: number])[]): CaseStep => ({
    tape,
    rows: rows.length,
    outputs: 2,
    outputRows: [rows.length - 1, random.between(0, rows.length - 1)],
    tokens: rows.map(token),
    positions: rows.map(([position]) => position),
    pageStart: rows.map(([, start]) => start),
    pages,
    inputs: [],
    reads: [0, 6, 11, 14],
  });
  return [
    step(positions.map((position) => [position, 0])),
    step([[first, 0], ...Array.from({ length: second }, (_, index) => [index, 3] as const)]),
  ];
}
