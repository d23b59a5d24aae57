/** Random kernel cases, one maker per operation. Shapes favour what is awkward: odd sizes, short groups, one row. */

import { type BufferSpec, type MatrixSpec, OP, type WeightFormat } from "../../src/kernels/mod.ts";
import { unrotateWeights } from "../../src/kernels/reference/rotate.ts";
import { blockLayout, quantizeSource, type SourceType, sourceByteLength } from "../../src/tensor/mod.ts";
import type { CaseMatrix, CaseStep, KernelCase } from "./kernel-case.ts";
import { type Random, randomValues, type Style } from "./random.ts";

export const formats: readonly WeightFormat[] = ["f16", "i8", "i4"];
const inputStyles: readonly Style[] = ["plain", "outliers", "outliers", "tiny", "zeros", "wild"];
const weightStyles: readonly Style[] = ["plain", "outliers", "tiny", "zeros"];

export function f32Buffer(width: number, domain: BufferSpec["domain"] = "tokens"): BufferSpec {
  return { kind: "f32", name: `f32 x ${width}`, domain, width };
}

export interface Shape {
  readonly format: WeightFormat;
  readonly rows: number;
  readonly columns: number;
  readonly segments: number;
}

/** Segments of any length, mostly not whole groups; now and then one or two that take the longest blocks. */
export function randomShape(random: Random, format: WeightFormat = random.pick(formats)): Shape {
  const long = random.chance(8);
  const segments = random.between(1, long ? 2 : 8);
  const short = random.chance(3) ? 32 * random.between(1, 3) : random.between(1, 100);
  const length = long ? random.between(101, 1200) : short;
  return { format, rows: random.between(1, long ? 17 : 40), columns: segments * length, segments };
}

export function wholeSpec({ format, rows, columns, segments }: Shape): MatrixSpec {
  return { name: "w", format, rows, columns, segments, rowRange: [0, rows], segmentRange: [0, segments] };
}

/** Source bytes of a type that fits the width. */
export function randomMatrix(
  random: Random,
  shape: Shape,
  style: Style = random.pick(weightStyles),
): CaseMatrix {
  const types: SourceType[] = ["F32", "F16", "BF16"];
  if (shape.columns % blockLayout("Q8_0").elements === 0) types.push("Q8_0", "Q4_0", "Q8_0", "Q4_0");
  const type = random.pick(types);
  const values = randomValues(random, shape.rows * shape.columns, style);
  const bytes = new Uint8Array(sourceByteLength(type, values.length));
  quantizeSource(type, values, bytes);
  return { spec: wholeSpec(shape), type, bytes };
}

/** The buffer an integer product reads. */
export function quantizedBuffer({ format, columns, segments }: Shape): BufferSpec {
  const read = format === "i4" ? "i4" : "i8";
  return { kind: "quantized", name: "q", domain: "tokens", width: columns, segments, format: read };
}

const noStep = { outputs: 0, inputs: [], reads: [] } as const;

interface LinearOptions {
  readonly rows?: number;
  readonly style?: Style;
}

export function linearCase(random: Random, shape: Shape, options: LinearOptions = {}): KernelCase {
  const { rows = random.between(1, 6), style = random.pick(inputStyles) } = options;
  const input = randomValues(random, rows * shape.columns, style);
  const f16 = shape.format === "f16";
  const step: CaseStep = {
    tape: f16 ? [OP.LINEAR, 2, 0, "m0"] : [OP.QUANTIZE, 1, 0, OP.LINEAR, 2, 1, "m0"],
    rows,
    outputs: 0,
    inputs: [[0, input]],
    reads: [2],
  };
  return {
    name: `linear ${shape.format} ${shape.rows} x ${shape.columns} in ${shape.segments}`,
    matrices: [randomMatrix(random, shape)],
    vectors: [],
    buffers: [f32Buffer(shape.columns), quantizedBuffer(shape), f32Buffer(shape.rows)],
    steps: [step],
  };
}

/** Quantization made visible: a matrix that is the identity once it is rotated hands out every q with its scale. */
export function quantizeCase(
  random: Random,
  options: { readonly segments?: number; readonly length?: number; readonly style?: Style } = {},
): KernelCase {
  const long = random.chance(10);
  const { segments = long ? 1 : random.between(1, 8) } = options;
  const { length = long ? random.between(49, 300) : random.between(1, 48) } = options;
  const columns = segments * length;
  const shape: Shape = { format: "i8", rows: columns, columns, segments };
  const identity = Float32Array.from({ length: columns * columns }, (_, k) =>
    k % (columns + 1) === 0 ? 1 : 0,
  );
  for (let first = 0; first < identity.length; first += length) {
    unrotateWeights(identity.subarray(first, first + length));
  }
  const bytes = new Uint8Array(sourceByteLength("F16", identity.length));
  quantizeSource("F16", identity, bytes);
  const rows = random.between(1, 4);
  const input = randomValues(random, rows * columns, options.style ?? random.pick(inputStyles));
  return {
    name: `quantize ${columns} in ${segments}`,
    matrices: [{ spec: wholeSpec(shape), type: "F16", bytes }],
    vectors: [],
    buffers: [f32Buffer(columns), quantizedBuffer(shape), f32Buffer(columns)],
    steps: [
      { ...noStep, tape: [OP.QUANTIZE, 1, 0, OP.LINEAR, 2, 1, "m0"], rows, inputs: [[0, input]], reads: [2] },
    ],
  };
}

export function embedCase(random: Random, shape: Shape = randomShape(random)): KernelCase {
  const rows = random.between(1, 5);
  const tokens = Array.from({ length: rows }, () => random.between(0, shape.rows - 1));
  return {
    name: `embed ${shape.format} ${shape.rows} x ${shape.columns}`,
    matrices: [randomMatrix(random, shape)],
    vectors: [],
    buffers: [f32Buffer(shape.columns)],
    steps: [{ ...noStep, tape: [OP.EMBED, 0, "m0"], rows, tokens, reads: [0] }],
  };
}

const f32 = new Float32Array(1);
const f32Bits = new Int32Array(f32.buffer);

export function bitsOf(value: number): number {
  f32[0] = value;
  return f32Bits[0] as number;
}

/** The norm of gathered rows, so that a status reaches the token row behind an output. */
export function normCase(random: Random): KernelCase {
  const width = random.between(1, 130);
  const rows = random.between(1, 4);
  const outputs = random.between(1, 3);
  const outputRows = Array.from({ length: outputs }, () => random.between(0, rows - 1));
  const epsilon = bitsOf(random.pick([1e-5, 1e-6, 0]));
  const input = randomValues(random, rows * width, random.pick(inputStyles));
  return {
    name: `norm ${width}`,
    matrices: [],
    vectors: [randomValues(random, width, "plain")],
    buffers: [f32Buffer(width), f32Buffer(width), f32Buffer(width, "outputs"), f32Buffer(width, "outputs")],
    steps: [
      {
        tape: [OP.GATHER, 2, 0, OP.RMS_NORM, 3, 2, "v0", epsilon],
        rows,
        outputs,
        outputRows,
        inputs: [[0, input]],
        reads: [2, 3],
      },
      { ...noStep, tape: [OP.RMS_NORM, 1, 0, "v0", epsilon], rows, inputs: [[0, input]], reads: [1] },
    ],
  };
}

export function ropeCase(random: Random): KernelCase {
  const heads = random.between(1, 5);
  const headDim = 2 * random.between(1, 40);
  const rows = random.between(1, 4);
  const positions = Array.from({ length: rows }, () => random.between(0, 9));
  const input = randomValues(random, rows * heads * headDim, random.pick(inputStyles));
  const style = random.between(0, 1);
  return {
    name: `rope ${heads} x ${headDim}`,
    matrices: [],
    vectors: [randomValues(random, 10 * headDim, "plain")],
    buffers: [f32Buffer(heads * headDim)],
    steps: [
      {
        ...noStep,
        tape: [OP.ROPE, 0, "v0", heads, headDim, style],
        rows,
        positions,
        inputs: [[0, input]],
        reads: [0],
      },
    ],
  };
}

export function elementwiseCase(random: Random): KernelCase {
  const width = random.between(1, 200);
  const rows = random.between(1, 4);
  const inputs = [0, 1].map(
    (buffer) => [buffer, randomValues(random, rows * width, random.pick(inputStyles))] as const,
  );
  return {
    name: `silu and add ${width}`,
    matrices: [],
    vectors: [],
    buffers: [f32Buffer(width), f32Buffer(width), f32Buffer(width), f32Buffer(width)],
    steps: [
      {
        ...noStep,
        tape: [OP.SILU_MUL, 2, 0, 1, OP.ADD, 3, 0, 1, OP.ADD, 0, 0, 1],
        rows,
        inputs,
        reads: [2, 3, 0],
      },
    ],
  };
}
