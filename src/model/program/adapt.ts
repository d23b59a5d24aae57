/** What adapters add to a layer's products. Without adapters of a matrix nothing is emitted. */

import { at } from "../../base/mod.ts";
import { type MatrixSpec, OP } from "../../kernels/mod.ts";
import type { Adapter } from "./adapters.ts";
import { floatBits, type ProgramBuilder } from "./builder.ts";

/** A product of a matrix, and the buffer it is in. */
export interface AdaptedProduct {
  readonly spec: MatrixSpec;
  readonly output: number;
}

/** A shard's part of a product's input, an f32 buffer. */
interface AdaptedInput {
  readonly spec: MatrixSpec;
  readonly buffer: number;
}

export class AdapterEmitter {
  readonly #builder: ProgramBuilder;
  readonly #adapters: readonly Adapter[];
  /** Floats of a segment's leaves: the largest rank. */
  readonly #stride: number;

  constructor(builder: ProgramBuilder, adapters: readonly Adapter[]) {
    this.#builder = builder;
    this.#adapters = adapters;
    this.#stride = Math.max(0, ...adapters.map(({ rank }) => rank));
  }

  /** Adds to the products of one shard, which all read `input` whole; every shard finds the same leaves, so the first does. */
  addToColumns(shard: number, input: number, products: readonly AdaptedProduct[]): void {
    // All leaves first, so that the threads meet once.
    if (shard === 0) {
      for (const [place, { spec }] of products.entries()) this.#emitLeaves(place, { spec, buffer: input });
    }
    for (const [place, product] of products.entries()) this.#emitSum(place, product);
  }

  /** Adds to the product of all shards, each of which holds a part of the input. */
  addToReduced(inputs: readonly AdaptedInput[], output: number): void {
    for (const input of inputs) this.#emitLeaves(0, input);
    this.#emitSum(0, { spec: at(inputs, 0).spec, output });
  }

  /** The leaves of A x, of the segments that a matrix holds. */
  #emitLeaves(place: number, { spec, buffer }: AdaptedInput): void {
    const { name, columns, segments, segmentRange } = spec;
    if (!this.#has(name)) return;
    const [first, end] = segmentRange;
    const length = columns / segments;
    const list = this.#adapters.flatMap(({ rank, matrices }, index) => {
      const found = matrices.get(name);
      if (found === undefined) return [-1, 0];
      const held = [first * length, end * length] as const;
      const part = { values: found.a, width: columns, rows: [0, rank], columns: held } as const;
      return [this.#builder.adapterPart(`${index} a ${name} ${held}`, part), rank];
    });
    const leaves = this.#leaves(place, segments);
    const count = this.#adapters.length;
    this.#builder.emit(OP.ADAPT_DOWN, leaves, buffer, first, end - first, this.#stride, count, ...list);
  }

  /** Adds B times what the leaves come to. */
  #emitSum(place: number, { spec, output }: AdaptedProduct): void {
    const { name, segments, rowRange } = spec;
    if (!this.#has(name)) return;
    const list = this.#adapters.flatMap(({ rank, scale, matrices }, index) => {
      const found = matrices.get(name);
      if (found === undefined) return [-1, 0, 0];
      const part = { values: found.b, width: rank, rows: rowRange, columns: [0, rank] } as const;
      return [this.#builder.adapterPart(`${index} b ${name} ${rowRange}`, part), rank, floatBits(scale)];
    });
    const leaves = this.#leaves(place, segments);
    this.#builder.emit(OP.ADAPT_UP, output, leaves, this.#stride, this.#adapters.length, ...list);
  }

  #has(name: string): boolean {
    return this.#adapters.some(({ matrices }) => matrices.has(name));
  }

  /** The buffer of the leaves of a product, by its place among those that are under way together. */
  #leaves(place: number, segments: number): number {
    return this.#builder.f32(`adapter leaves ${place} of ${segments}`, segments * this.#stride);
  }
}
