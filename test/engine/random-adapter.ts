/** Adapters of random values, on disk as PEFT saves them. */

import {
  Generator,
  layerMatrices,
  layerTensor,
  linearShape,
  type ModelDescription,
  readAdapter,
  type StoredAdapter,
  writeAdapter,
} from "../../src/model/mod.ts";

export interface AdapterChoice {
  readonly rank: number;
  readonly seed: number;
  /** Matrices that it changes; undefined: all. */
  readonly targets?: readonly (typeof layerMatrices)[number][];
  /** About how large its product is beside the matrix's. */
  readonly strength?: number;
}

/** Writes it to `folder` and reads it back. */
export function randomAdapter(
  folder: string,
  model: ModelDescription,
  { rank, seed, targets = layerMatrices, strength = 1 }: AdapterChoice,
): StoredAdapter {
  const generator = new Generator(seed, 0);
  const draw = (count: number, deviation: number): Float32Array =>
    Float32Array.from({ length: count }, () => deviation * generator.gaussian());
  const layers = Array.from({ length: model.layers }, (_, layer) => layer);
  const matrices = layers.flatMap((layer) =>
    targets.map((name) => {
      const { rows, columns } = linearShape(model, name);
      const a = draw(rank * columns, 1 / Math.sqrt(columns));
      return [layerTensor(layer, name), { a, b: draw(rows * rank, strength / Math.sqrt(rank)) }] as const;
    }),
  );
  const config = { rank, alpha: 2 * rank, rankStabilized: false };
  writeAdapter(folder, { config, matrices: new Map(matrices), model });
  return readAdapter(folder, model);
}
