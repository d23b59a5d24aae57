/**
 * Where each tensor of a llama lies in a flat array of parameters: matrices first, which weight decay shrinks, then the norms'
 * gains, which it leaves alone. Names are those of GGUF.
 */

import { assert } from "../base/mod.ts";
import { type LayerPlaces, LINEAR_NAMES, type LinearName, type TrainingModel } from "../kernels/mod.ts";
import {
  type LayerMatrix,
  layerTensor,
  type ModelDescription,
  linearShape as matrixShape,
} from "../model/mod.ts";

export interface TensorPlace {
  readonly name: string;
  readonly offset: number;
  /** 1 for a vector. */
  readonly rows: number;
  readonly columns: number;
}

export interface ParameterLayout {
  readonly tensors: ReadonlyMap<string, TensorPlace>;
  /** Values in all. */
  readonly count: number;
  /** Values of matrices; they come first. */
  readonly decayed: number;
}

export const EMBEDDING = "token_embd.weight";
export const OUTPUT_NORM = "output_norm.weight";

/** The engine's names of the matrices. */
export const layerMatrixOf: Readonly<Record<LinearName, LayerMatrix>> = {
  q: "q",
  k: "k",
  v: "v",
  output: "o",
  gate: "gate",
  up: "up",
  down: "down",
};

/** The GGUF name of a layer's matrix. */
export function linearTensor(layer: number, name: LinearName): string {
  return layerTensor(layer, layerMatrixOf[name]);
}

interface LinearShape {
  readonly out: number;
  readonly in: number;
}

function linearShape(model: ModelDescription, name: LinearName): LinearShape {
  const { rows, columns } = matrixShape(model, layerMatrixOf[name]);
  return { out: rows, in: columns };
}

class LayoutBuilder {
  readonly tensors = new Map<string, TensorPlace>();
  count = 0;

  add(name: string, rows: number, columns: number): void {
    this.tensors.set(name, { name, offset: this.count, rows, columns });
    this.count += rows * columns;
  }
}

const layersOf = (model: ModelDescription): number[] => Array.from({ length: model.layers }, (_, i) => i);

/** The tensors of a model with tied embeddings. */
export function parameterLayout(model: ModelDescription): ParameterLayout {
  assert(model.tiedOutput, "Only models whose output matrix is the embedding are trained.");
  const builder = new LayoutBuilder();
  builder.add(EMBEDDING, model.vocabulary, model.width);
  for (const layer of layersOf(model)) {
    for (const name of LINEAR_NAMES) {
      const shape = linearShape(model, name);
      builder.add(linearTensor(layer, name), shape.out, shape.in);
    }
  }
  const decayed = builder.count;
  for (const layer of layersOf(model)) {
    builder.add(`blk.${layer}.attn_norm.weight`, 1, model.width);
    builder.add(`blk.${layer}.ffn_norm.weight`, 1, model.width);
  }
  builder.add(OUTPUT_NORM, 1, model.width);
  return { tensors: builder.tensors, count: builder.count, decayed };
}

/** Low-rank adapters beside some matrices: y = W x + alpha / rank * B (A x) (Hu and others, 2021). */
export interface AdapterShape {
  readonly rank: number;
  readonly alpha: number;
  readonly targets: readonly LinearName[];
  /** Whether A stays as it was drawn and only B is trained (FFA-LoRA: Sun and others, 2024). */
  readonly freezeA: boolean;
}

/** The adapters' tensors: a matrix's name with `.lora_a`, [rank][in], and with `.lora_b`, [out][rank]. */
export function adapterLayout(model: ModelDescription, adapter: AdapterShape): ParameterLayout {
  const builder = new LayoutBuilder();
  const places = layersOf(model).flatMap((layer) =>
    LINEAR_NAMES.filter((each) => adapter.targets.includes(each)).map((name) => ({
      tensor: linearTensor(layer, name),
      shape: linearShape(model, name),
    })),
  );
  for (const { tensor, shape } of places) builder.add(`${tensor}.lora_b`, shape.out, adapter.rank);
  const trained = builder.count;
  for (const { tensor, shape } of places) builder.add(`${tensor}.lora_a`, adapter.rank, shape.in);
  // What is not trained does not decay either.
  return {
    tensors: builder.tensors,
    count: builder.count,
    decayed: adapter.freezeA ? trained : builder.count,
  };
}

/** The tensors of a flat array, by name; writing one writes the array. */
export function tensorViews(layout: ParameterLayout, values: Float32Array): Map<string, Float32Array> {
  assert(values.length === layout.count, "An array of parameters has the size of its layout.");
  const view = ({ offset, rows, columns }: TensorPlace): Float32Array =>
    values.subarray(offset, offset + rows * columns);
  return new Map([...layout.tensors].map(([name, place]) => [name, view(place)]));
}

/** The model as the kernels take it, for examples of `context` tokens. */
export function trainingModel(
  model: ModelDescription,
  context: number,
  adapter?: AdapterShape,
): TrainingModel {
  const parameters = parameterLayout(model).tensors;
  const adapters = adapter === undefined ? new Map() : adapterLayout(model, adapter).tensors;
  const offset = (name: string): number => {
    const place = parameters.get(name);
    assert(place !== undefined, `A llama has ${name}.`);
    return place.offset;
  };
  const layerPlaces = (layer: number): LayerPlaces => {
    const place = (name: LinearName) => {
      const tensor = linearTensor(layer, name);
      const down: number | undefined = adapters.get(`${tensor}.lora_a`)?.offset;
      const up: number | undefined = adapters.get(`${tensor}.lora_b`)?.offset;
      return [name, { weight: offset(tensor), down, up, ...linearShape(model, name) }];
    };
    return {
      attentionNorm: offset(`blk.${layer}.attn_norm.weight`),
      ffnNorm: offset(`blk.${layer}.ffn_norm.weight`),
      linears: Object.fromEntries(LINEAR_NAMES.map(place)),
    };
  };
  const { width, heads, kvHeads, headDim, ffnWidth, vocabulary, normEpsilon } = model;
  return {
    ...{ width, heads, kvHeads, headDim, ffnWidth, vocabulary, normEpsilon, context },
    embedding: offset(EMBEDDING),
    outputNorm: offset(OUTPUT_NORM),
    layers: layersOf(model).map(layerPlaces),
    rank: adapter?.rank ?? 0,
    adapterScale: adapter === undefined ? 0 : adapter.alpha / adapter.rank,
    trainDown: adapter !== undefined && !adapter.freezeA,
  };
}
