/** Reads a model file's weights back to f32: to write them anew. */

import { ClawError } from "../../base/mod.ts";
import { openModel } from "../../model/mod.ts";
import { dequantize } from "../../tensor/mod.ts";
import type { ModelContent } from "./model-file.ts";
import { elementCount, modelTensors } from "./tensors.ts";

/** The content of a llama's file. Errors: those of opening models; E_MODEL_SHAPE for a tensor that is missing or of another shape. */
export function readModel(path: string): ModelContent {
  const { description, gguf, source, close } = openModel(path);
  try {
    if (description.architecture !== "llama") {
      throw new ClawError("E_ARCHITECTURE", `Cannot write ${path} anew: only llamas are written.`);
    }
    const parameters = new Map<string, Float32Array>();
    for (const expected of modelTensors(description)) {
      const tensor = gguf.tensors.get(expected.name);
      if (tensor?.shape.join() !== expected.shape.join()) {
        const shape = expected.shape.join(" x ");
        throw new ClawError("E_MODEL_SHAPE", `${path} should have ${expected.name}, ${shape}.`);
      }
      const values = new Float32Array(elementCount(expected));
      dequantize(tensor.type, source.read(tensor.offset, tensor.byteLength), values);
      parameters.set(expected.name, values);
    }
    const tokenizer = [...gguf.metadata.entries()].filter(([key]) => key.startsWith("tokenizer."));
    const chatTemplate = gguf.metadata.optionalString("tokenizer.chat_template");
    return { description, parameters, tokenizer, chatTemplate };
  } finally {
    close();
  }
}
