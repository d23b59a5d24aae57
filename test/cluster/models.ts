/** Small random models of many shapes, as files. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  llamaMetadata,
  type ModelDescription,
  type OpenedFile,
  openModelFile,
  type TensorContent,
  writeGguf,
} from "../../src/model/mod.ts";
import { layerMatrices, layerMatrix } from "../../src/model/program/weights.ts";
import type { Random } from "../kernels/random.ts";

export interface RandomModel {
  readonly file: OpenedFile;
  readonly path: string;
  remove(): void;
}

/** Layers, heads and widths that split in many ways, or in none. */
export function randomDescription(random: Random): ModelDescription {
  const kvHeads = random.pick([1, 1, 2, 3, 4, 5, 6, 7, 8]);
  const heads = kvHeads * random.between(1, kvHeads === 1 ? 8 : 2);
  const ffnUnits = random.pick([1, 2, 3, 4, 5, 6, 7, 8, 8]);
  return {
    architecture: "llama",
    name: "random",
    layers: random.between(1, 5),
    width: 8 * random.between(1, 6),
    heads,
    kvHeads,
    headDim: 2 * random.between(1, 4),
    ffnWidth: ffnUnits * random.pick([1, 4, 8, 12]),
    vocabulary: random.between(16, 70),
    context: 256,
    normEpsilon: Math.fround(1e-5),
    rope: { pairs: "adjacent", base: 10_000, positionDivisor: 1, frequencyDivisors: undefined },
    tiedOutput: random.chance(2),
  };
}

/** A model of this shape with random weights, in a folder of its own. */
export function writeModel(description: ModelDescription, random: Random): RandomModel {
  const folder = mkdtempSync(join(tmpdir(), "claw-cluster-"));
  const path = join(folder, "random.gguf");
  writeGguf(path, { metadata: llamaMetadata(description, 0), tensors: tensorsOf(description, random) });
  const file = openModelFile(path);
  const remove = (): void => {
    file.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { file, path, remove };
}

function tensorsOf(description: ModelDescription, random: Random): TensorContent[] {
  const { layers, width, vocabulary, tiedOutput } = description;
  const vector = (name: string): TensorContent => tensor(name, [width], () => 1 + random.unit() / 4);
  const matrix = (name: string, columns: number, rows: number): TensorContent =>
    tensor(name, [columns, rows], () => (2 * random.unit()) / Math.sqrt(columns));
  const list = [matrix("token_embd.weight", width, vocabulary), vector("output_norm.weight")];
  if (!tiedOutput) list.push(matrix("output.weight", width, vocabulary));
  const whole = { attention: [0, 1], ffn: [0, 1], vocabulary: [0, 1] } as const;
  for (let layer = 0; layer < layers; layer++) {
    list.push(vector(`blk.${layer}.attn_norm.weight`), vector(`blk.${layer}.ffn_norm.weight`));
    for (const name of layerMatrices) {
      const spec = layerMatrix(description, { layer, name, shard: whole, format: "f16" });
      list.push(matrix(spec.name, spec.columns, spec.rows));
    }
  }
  return list;
}

function tensor(name: string, shape: readonly number[], value: () => number): TensorContent {
  const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, value);
  return { name, type: "F32", shape, data: () => [new Uint8Array(values.buffer)] };
}
