/** Reads a model file's weights as f32: to train beside, from or towards. */

import { assert, ClawError } from "../base/mod.ts";
import { type ModelDescription, openModelFile } from "../model/mod.ts";
import { dequantize } from "../tensor/mod.ts";
import { parameterLayout } from "./layout.ts";

export interface ModelWeights {
  readonly description: ModelDescription;
  /** Flat, as `parameterLayout` lays them out. */
  readonly parameters: Float32Array;
}

/** Errors: E_FILE, E_GGUF and others of reading models; E_MODEL_SHAPE for one that cannot be trained or lacks a tensor. */
export function readParameters(path: string): ModelWeights {
  const file = openModelFile(path);
  try {
    const { description, gguf, source } = file;
    if (!description.tiedOutput || description.rope.pairs !== "adjacent") {
      throw new ClawError(
        "E_MODEL_SHAPE",
        `${path}: only models whose output matrix is the embedding are trained.`,
      );
    }
    const layout = parameterLayout(description);
    const parameters = new Float32Array(layout.count);
    for (const { name, offset, rows, columns } of layout.tensors.values()) {
      const tensor = gguf.tensors.get(name);
      const count = tensor?.shape.reduce((product, size) => product * size, 1);
      if (tensor === undefined || count !== rows * columns) {
        throw new ClawError("E_MODEL_SHAPE", `${path}: ${name} is missing or has another shape.`);
      }
      const bytes = source.read(tensor.offset, tensor.byteLength);
      dequantize(tensor.type, bytes, parameters.subarray(offset, offset + count));
    }
    assert(parameters.length === layout.count, "Every tensor was read.");
    return { description, parameters };
  } finally {
    file.close();
  }
}
