/** Collects what a program is made of: buffers, one per name, weights, and the tape. */

import { at } from "../../base/mod.ts";
import {
  type BufferSpec,
  type MatrixSpec,
  OP,
  type RowDomain,
  type WeightFormat,
} from "../../kernels/mod.ts";
import { requireExactSums } from "../../tensor/mod.ts";
import type { ModelDescription } from "../architecture/mod.ts";
import type { AdapterPart } from "./adapters.ts";

export class ProgramBuilder {
  readonly model: ModelDescription;
  readonly format: WeightFormat;
  readonly epsilon: number;
  /** 1 / sqrt(headDim). */
  readonly scoreScale: number;
  readonly buffers: BufferSpec[] = [];
  readonly matrices: MatrixSpec[] = [];
  readonly vectors: (string | AdapterPart)[] = [];
  readonly #byName = new Map<string, number>();
  readonly #tape: number[] = [];

  constructor(model: ModelDescription, format: WeightFormat) {
    this.model = model;
    this.format = format;
    this.epsilon = floatBits(model.normEpsilon);
    this.scoreScale = floatBits(1 / Math.sqrt(model.headDim));
  }

  emit(...operation: readonly number[]): void {
    this.#tape.push(...operation);
  }

  /** The tape, ended. */
  tape(): Int32Array {
    return Int32Array.from([...this.#tape, OP.END]);
  }

  f32(name: string, width: number, domain: RowDomain = "tokens"): number {
    return this.#buffer({ kind: "f32", name, domain, width });
  }

  /** The number of a matrix; the same for the same slice of a tensor. */
  matrix(spec: MatrixSpec): number {
    return this.#numbered(`matrix ${spec.name} ${spec.rowRange} ${spec.segmentRange}`, this.matrices, spec);
  }

  vector(name: string): number {
    return this.#numbered(`vector ${name}`, this.vectors, name);
  }

  /** The same number for the same key. */
  adapterPart(key: string, part: AdapterPart): number {
    return this.#numbered(`adapter ${key}`, this.vectors, part);
  }

  /** A product of all the matrix's segments. */
  linear(name: string, input: number, spec: MatrixSpec): number {
    const out = this.f32(name, spec.rowRange[1] - spec.rowRange[0]);
    this.emit(OP.LINEAR, out, input, this.matrix(spec));
    return out;
  }

  /** The buffer a matrix reads: quantized for integer formats, the f32 buffer itself for f16. */
  quantize(source: number, segments: number): number {
    const { format } = this;
    if (format === "f16") return source;
    const { name, domain, width } = at(this.buffers, source);
    requireExactSums(format, width / segments);
    const spec = { kind: "quantized", name: `${name} quantized`, domain, width, segments, format } as const;
    const out = this.#buffer(spec);
    this.emit(OP.QUANTIZE, out, source);
    return out;
  }

  #buffer(spec: BufferSpec): number {
    return this.#numbered(`buffer ${spec.name}`, this.buffers, spec);
  }

  #numbered<T>(key: string, list: T[], item: T): number {
    const known = this.#byName.get(key);
    if (known !== undefined) return known;
    const index = list.push(item) - 1;
    this.#byName.set(key, index);
    return index;
  }
}

const pattern = new DataView(new ArrayBuffer(4));

/** The bit pattern of a number rounded to f32, as the tape carries it. */
export function floatBits(value: number): number {
  pattern.setFloat32(0, value);
  return pattern.getInt32(0);
}
