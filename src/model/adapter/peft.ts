/**
 * Adapters as Hugging Face PEFT names and orders them for llamas. Hugging Face rotates the halves of a head (row i with row
 * i + headDim / 2), GGUF's llamas adjacent rows (2i with 2i + 1), so the rows of queries and keys stand in another order there.
 */

import { assert, at } from "../../base/mod.ts";
import type { ModelDescription } from "../architecture/mod.ts";
import { type LayerMatrix, layerMatrices, layerTensor } from "../program/mod.ts";

/** PEFT's names of a layer's matrices. */
const modules: Readonly<Record<LayerMatrix, string>> = {
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};

/** A matrix that an adapter changes. */
export interface AdapterPlace {
  readonly layer: number;
  readonly matrix: LayerMatrix;
  /** `a`: [rank][in]; `b`: [out][rank]. */
  readonly part: "a" | "b";
}

const LAYER_DIGITS_MAX = 6;
const namePattern = new RegExp(
  `^base_model\\.model\\.model\\.layers\\.(\\d{1,${LAYER_DIGITS_MAX}})\\.(.+)\\.lora_([AB])\\.weight$`,
);

export function peftName({ layer, matrix, part }: AdapterPlace): string {
  return `base_model.model.model.layers.${layer}.${modules[matrix]}.lora_${part.toUpperCase()}.weight`;
}

/** Undefined for what is no name of an adapter's tensor. */
export function placeOfPeftName(name: string): AdapterPlace | undefined {
  const [, layer, module, part] = namePattern.exec(name) ?? [];
  const matrix = layerMatrices.find((each) => modules[each] === module);
  if (matrix === undefined) return undefined;
  return { layer: Number(layer), matrix, part: part === "A" ? "a" : "b" };
}

/** As `target_modules` lists them: `q_proj`. */
export function targetName(matrix: LayerMatrix): string {
  return at(modules[matrix].split("."), 1);
}

/** The matrix that `target_modules` calls so; undefined: none. */
export function matrixOfTarget(target: string): LayerMatrix | undefined {
  return layerMatrices.find((matrix) => targetName(matrix) === target);
}

/** The GGUF name of the matrix. */
export function tensorOfPlace({ layer, matrix }: AdapterPlace): string {
  return layerTensor(layer, matrix);
}

/** The rows of B, [out][rank], in GGUF's order from PEFT's, or the other way: a copy. */
export function reorderRows(
  values: Float32Array,
  matrix: LayerMatrix,
  { model, to }: { readonly model: ModelDescription; readonly to: "gguf" | "peft" },
): Float32Array {
  const rotated = matrix === "q" || matrix === "k";
  if (!rotated || model.rope.pairs !== "adjacent") return values.slice();
  const { headDim } = model;
  const rows = (matrix === "q" ? model.heads : model.kvHeads) * headDim;
  const rank = values.length / rows;
  assert(Number.isInteger(rank), "B has a row for each output.");
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const place = row % headDim;
    const halves = row - place + (place % 2) * (headDim / 2) + Math.floor(place / 2);
    const [from, target] = to === "gguf" ? [halves, row] : [row, halves];
    out.set(values.subarray(from * rank, (from + 1) * rank), target * rank);
  }
  return out;
}
