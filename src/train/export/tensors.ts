/** The tensors of a llama in llama.cpp's names, with their shapes, in the order of a file. */

import type { ModelDescription } from "../../model/mod.ts";

export interface TensorShape {
  readonly name: string;
  /** ggml's order, the fastest dimension first: [columns, rows] of a matrix, [values] of a vector. */
  readonly shape: readonly [number] | readonly [columns: number, rows: number];
}

export function modelTensors(model: ModelDescription): TensorShape[] {
  const { width, vocabulary, layers, tiedOutput } = model;
  return [
    { name: "token_embd.weight", shape: [width, vocabulary] },
    { name: "output_norm.weight", shape: [width] },
    ...(tiedOutput ? [] : [{ name: "output.weight", shape: [width, vocabulary] } as const]),
    ...Array.from({ length: layers }, (_, layer) => layerTensors(model, `blk.${layer}`)).flat(),
  ];
}

function layerTensors(model: ModelDescription, block: string): TensorShape[] {
  const { width, ffnWidth, headDim } = model;
  const [queries, keys] = [model.heads * headDim, model.kvHeads * headDim];
  return [
    { name: `${block}.attn_norm.weight`, shape: [width] },
    { name: `${block}.attn_q.weight`, shape: [width, queries] },
    { name: `${block}.attn_k.weight`, shape: [width, keys] },
    { name: `${block}.attn_v.weight`, shape: [width, keys] },
    { name: `${block}.attn_output.weight`, shape: [queries, width] },
    { name: `${block}.ffn_norm.weight`, shape: [width] },
    { name: `${block}.ffn_gate.weight`, shape: [width, ffnWidth] },
    { name: `${block}.ffn_up.weight`, shape: [width, ffnWidth] },
    { name: `${block}.ffn_down.weight`, shape: [ffnWidth, width] },
  ];
}

export function elementCount({ shape }: TensorShape): number {
  return shape.reduce<number>((product, dimension) => product * dimension, 1);
}
