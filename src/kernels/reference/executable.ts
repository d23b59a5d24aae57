/** A program on the reference device: buffers as typed arrays, operations as functions over rows. */

import { assert, at } from "../../base/mod.ts";
import type { Subtree } from "../../tensor/mod.ts";
import {
  type BufferSpec,
  type Executable,
  KV_PAGE_TOKENS,
  type Program,
  type RankLink,
  ROW_STATUS,
  type StepBlock,
  type StepLimits,
} from "../contract.ts";
import { type OperationName, operationsOf, type TapeOperation } from "../tape.ts";
import { adaptDownRow, adaptUpRow } from "./adapt.ts";
import { attendHead, type ReferenceKv, storeKept } from "./attention.ts";
import { addRow, rmsNormRow, ropeRow, siluMulRow } from "./elementwise.ts";
import { Exchanges, isExchange } from "./exchange.ts";
import { floatFromBits } from "./float.ts";
import { rotateKey, rotateQuery } from "./kv-rotation.ts";
import { combineRow, embedRow, type LinearInput, linearPartialRow, linearRow } from "./linear.ts";
import { type QuantizedBuffer, quantizedBuffer, quantizeRow } from "./quantize.ts";
import type { ReferenceMatrix } from "./weights.ts";

/** What a program uses of the device it runs on. */
export interface ReferenceStore {
  matrix(id: number): ReferenceMatrix;
  vector(id: number): Float32Array;
  requireKv(): ReferenceKv;
}

type Buffer = {
  readonly spec: BufferSpec;
  readonly values: Float32Array;
  readonly quantized?: QuantizedBuffer;
};

export class ReferenceExecutable implements Executable {
  readonly step: StepBlock;
  readonly bytes: number;
  readonly #device: ReferenceStore;
  readonly #buffers: readonly Buffer[];
  /** Between two exchanges, and after the last. */
  readonly #parts: readonly (readonly TapeOperation[])[];
  readonly #exchanges: Exchanges;
  #rows = 0;
  #outputs = 0;

  constructor(
    device: ReferenceStore,
    program: Program,
    { limits, links }: { readonly limits: StepLimits; readonly links: readonly RankLink[] },
  ) {
    this.#device = device;
    this.#parts = partsOf(program.tape);
    this.#exchanges = new Exchanges(program, limits, links);
    this.#buffers = program.buffers.map((spec) => allocate(spec, limits));
    this.bytes = this.#buffers.reduce(
      (sum, b) => sum + b.values.byteLength + (b.quantized?.q.byteLength ?? 0),
      0,
    );
    this.step = {
      tokens: new Int32Array(limits.rows),
      positions: new Int32Array(limits.rows),
      pageStart: new Int32Array(limits.rows),
      pages: new Int32Array(limits.pageEntries),
      adapters: new Int32Array(limits.rows),
      outputs: new Int32Array(limits.outputs),
      logits: program.logits === undefined ? new Float32Array(0) : at(this.#buffers, program.logits).values,
      status: new Int32Array(limits.rows),
    };
  }

  async execute(rows: number, outputs: number): Promise<void> {
    this.#rows = rows;
    this.#outputs = outputs;
    this.step.status.fill(0, 0, rows);
    for (const [index, part] of this.#parts.entries()) {
      for (const { name, operands } of part) this.#run(name, operands);
      if (index < this.#exchanges.count) await this.#exchanges.run(index, rows, this);
    }
  }

  writeBuffer(buffer: number, values: Float32Array): void {
    at(this.#buffers, buffer).values.set(values);
  }

  readBuffer(buffer: number, rows: number): Float32Array {
    const { spec, values } = at(this.#buffers, buffer);
    return values.slice(0, rows * spec.width);
  }

  #run(name: OperationName, operands: Int32Array): void {
    const run = operations[name as LocalOperation];
    const target = at(this.#buffers, at(operands, 0));
    const count = target.spec.domain === "tokens" ? this.#rows : this.#outputs;
    const operand = (index: number): number => at(operands, index);
    for (let row = 0; row < count; row++) run(this, operand, row);
  }

  values(buffer: number): Float32Array {
    return at(this.#buffers, buffer).values;
  }

  get device(): ReferenceStore {
    return this.#device;
  }

  /** One row of an f32 buffer. */
  row(buffer: number, row: number): Float32Array {
    const { spec, values } = at(this.#buffers, buffer);
    return values.subarray(row * spec.width, (row + 1) * spec.width);
  }

  quantized(buffer: number): QuantizedBuffer {
    const { quantized } = at(this.#buffers, buffer);
    assert(quantized !== undefined, `Buffer ${buffer} is not quantized.`);
    return quantized;
  }

  input(buffer: number, row: number): LinearInput {
    const { values, quantized } = at(this.#buffers, buffer);
    return quantized === undefined ? { values, row } : { quantized, row };
  }

  /** Adds a status bit to the token row behind a row of `buffer`. */
  flag(buffer: number, row: number, bit: number): void {
    const { domain } = at(this.#buffers, buffer).spec;
    const token = domain === "tokens" ? row : at(this.step.outputs, row);
    this.step.status[token] = at(this.step.status, token) | bit;
  }

  /** The page table of a token row, up to the page of its own position. */
  pages(row: number): Int32Array {
    const start = at(this.step.pageStart, row);
    const count = Math.floor(at(this.step.positions, row) / KV_PAGE_TOKENS) + 1;
    return this.step.pages.subarray(start, start + count);
  }
}

function allocate(spec: BufferSpec, limits: StepLimits): Buffer {
  const rows = spec.domain === "tokens" ? limits.rows : limits.outputs;
  if (spec.kind === "quantized") {
    return { spec, values: new Float32Array(0), quantized: quantizedBuffer(spec, rows) };
  }
  return { spec, values: new Float32Array(rows * spec.width) };
}

/** The operations between exchanges; those that stand together are one. */
function partsOf(tape: Int32Array): TapeOperation[][] {
  let part: TapeOperation[] = [];
  const parts = [part];
  let exchanging = false;
  for (const operation of operationsOf(tape)) {
    const exchanges = isExchange(operation);
    if (exchanges && !exchanging) {
      part = [];
      parts.push(part);
    }
    if (!exchanges) part.push(operation);
    exchanging = exchanges;
  }
  return parts;
}

type LocalOperation = Exclude<OperationName, "END" | "SEND" | "RECEIVE">;

type Operation = (on: ReferenceExecutable, operand: (index: number) => number, row: number) => void;

const operations: Readonly<Record<LocalOperation, Operation>> = {
  EMBED: (on, operand, row) => {
    embedRow(on.device.matrix(operand(1)), at(on.step.tokens, row), on.row(operand(0), row));
  },
  EMBED_PARTIAL: (on, operand, row) => {
    const matrix = on.device.matrix(operand(1));
    const held = at(on.step.tokens, row) - operand(2);
    if (held >= 0 && held < matrix.rows) embedRow(matrix, held, on.row(operand(0), row));
  },
  RMS_NORM: (on, operand, row) => {
    const out = on.row(operand(0), row);
    const epsilon = floatFromBits(operand(3));
    const finite = rmsNormRow(on.row(operand(1), row), on.device.vector(operand(2)), { epsilon, out });
    if (!finite) on.flag(operand(0), row, ROW_STATUS.NOT_FINITE);
  },
  QUANTIZE: (on, operand, row) => {
    const finite = quantizeRow(on.row(operand(1), row), on.quantized(operand(0)), row);
    if (!finite) on.flag(operand(0), row, ROW_STATUS.NOT_FINITE);
  },
  LINEAR: (on, operand, row) => {
    linearRow(on.device.matrix(operand(2)), on.input(operand(1), row), on.row(operand(0), row));
  },
  LINEAR_PARTIAL: (on, operand, row) => {
    linearPartialRow(on.device.matrix(operand(2)), on.input(operand(1), row), on.row(operand(0), row));
  },
  COMBINE: (on, operand, row) => {
    const present: Subtree[] = [];
    for (let i = 0; i < operand(2); i++) present.push([operand(3 + 2 * i), operand(4 + 2 * i)]);
    combineRow(on.row(operand(1), row), present, on.row(operand(0), row));
  },
  ROPE: (on, operand, row) => {
    const headDim = operand(3);
    const first = at(on.step.positions, row) * headDim;
    const table = on.device.vector(operand(1)).subarray(first, first + headDim);
    ropeRow(on.row(operand(0), row), table, { headDim, halves: operand(4) === 1 });
  },
  KV_WRITE: writeKv,
  ATTENTION: attend,
  SILU_MUL: (on, operand, row) => {
    siluMulRow(on.row(operand(1), row), on.row(operand(2), row), on.row(operand(0), row));
  },
  ADD: (on, operand, row) => {
    addRow(on.row(operand(1), row), on.row(operand(2), row), on.row(operand(0), row));
  },
  GATHER: (on, operand, row) => {
    on.row(operand(0), row).set(on.row(operand(1), at(on.step.outputs, row)));
  },
  ADAPT_DOWN: (on, operand, row) => {
    const entry = 6 + 2 * (at(on.step.adapters, row) - 1);
    if (entry < 6 || operand(entry) < 0) return;
    const a = { values: on.device.vector(operand(entry)), rank: operand(entry + 1) };
    const [first, segments, stride] = [operand(2), operand(3), operand(4)];
    adaptDownRow(on.row(operand(1), row), a, { first, segments, stride, leaves: on.row(operand(0), row) });
  },
  ADAPT_UP: (on, operand, row) => {
    const entry = 4 + 3 * (at(on.step.adapters, row) - 1);
    if (entry < 4 || operand(entry) < 0) return;
    const b = { values: on.device.vector(operand(entry)), rank: operand(entry + 1) };
    const scale = floatFromBits(operand(entry + 2));
    const leaves = on.row(operand(1), row);
    adaptUpRow(leaves, b, { scale, stride: operand(2), out: on.row(operand(0), row) });
  },
};

function writeKv(on: ReferenceExecutable, operand: (index: number) => number, row: number): void {
  const kv = on.device.requireKv();
  const { headDim, format } = kv.shape;
  const position = at(on.step.positions, row);
  const page = at(on.pages(row), Math.floor(position / KV_PAGE_TOKENS));
  for (let head = 0; head < operand(4); head++) {
    const offset = kv.offset(page, { layer: operand(2), head: operand(3) + head, position });
    const part = (buffer: number): Float32Array =>
      on.row(operand(buffer), row).subarray(head * headDim, (head + 1) * headDim);
    const key = format === "i8" ? rotateKey(part(0)) : part(0);
    const keysFit = storeKept(key, format, { target: kv.keys, scales: kv.keyScales, offset });
    const valuesFit = storeKept(part(1), format, { target: kv.values, scales: kv.valueScales, offset });
    if (!keysFit || !valuesFit) on.flag(operand(0), row, ROW_STATUS.KV_RANGE);
  }
}

function attend(on: ReferenceExecutable, operand: (index: number) => number, row: number): void {
  const kv = on.device.requireKv();
  const { headDim } = kv.shape;
  const kvHeads = operand(4);
  const queryHeads = operand(5);
  const scale = floatFromBits(operand(6));
  const pages = on.pages(row);
  const position = at(on.step.positions, row);
  for (let head = 0; head < queryHeads; head++) {
    const kvHead = operand(3) + Math.floor((head * kvHeads) / queryHeads);
    const part = (values: Float32Array): Float32Array =>
      values.subarray(head * headDim, (head + 1) * headDim);
    const place = { layer: operand(2), head: kvHead, position, pages };
    const given = part(on.row(operand(1), row));
    const query = kv.shape.format === "i8" ? rotateQuery(given) : given;
    attendHead(kv, query, { place, scale, out: part(on.row(operand(0), row)) });
  }
}
