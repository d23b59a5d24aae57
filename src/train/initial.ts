/** Where training begins: normal weights whose products keep their scale, gains of 1 (GPT-2's scheme). */

import { Generator, type ModelDescription } from "../model/mod.ts";
import { type AdapterShape, adapterLayout, EMBEDDING, parameterLayout, type TensorPlace } from "./layout.ts";

/** With a tied output matrix it is also what keeps the first logits small. */
const DEVIATION = 0.02;

/** Fresh parameters; tensors have streams of their own, so that another vocabulary leaves the layers as they are. */
export function initialParameters(model: ModelDescription, seed: number): Float32Array {
  const layout = parameterLayout(model);
  const values = new Float32Array(layout.count);
  // Each layer writes twice to the residual stream.
  const residual = 1 / Math.sqrt(2 * model.layers);
  [...layout.tensors.values()].forEach((place, stream) => {
    if (place.offset >= layout.decayed) {
      fill(values, place, () => 1);
      return;
    }
    const generator = new Generator(seed, stream);
    const writes = /attn_output|ffn_down/.test(place.name);
    const deviation =
      place.name === EMBEDDING ? DEVIATION : Math.sqrt(1 / place.columns) * (writes ? residual : 1);
    fill(values, place, () => deviation * generator.gaussian());
  });
  return values;
}

/** Fresh adapters: A is drawn, B is zero, so that they change nothing yet (Hu and others, 2021). */
export function initialAdapters(model: ModelDescription, adapter: AdapterShape, seed: number): Float32Array {
  const layout = adapterLayout(model, adapter);
  const values = new Float32Array(layout.count);
  [...layout.tensors.values()].forEach((place, stream) => {
    if (place.name.endsWith(".lora_b")) return;
    const generator = new Generator(seed, stream);
    const deviation = Math.sqrt(1 / place.columns);
    fill(values, place, () => deviation * generator.gaussian());
  });
  return values;
}

function fill(values: Float32Array, { offset, rows, columns }: TensorPlace, next: () => number): void {
  for (let i = offset; i < offset + rows * columns; i++) values[i] = next();
}
