/** The rotary embedding's table, computed once in f64 and rounded to f32 (arithmetic.md, ROPE). */

import { exactExp, exactLog, exactSineCosine } from "../../base/mod.ts";
import type { ModelDescription } from "./description.ts";

/** [position][headDim / 2][cosine, sine] for positions 0 to `positions` - 1. */
export function ropeTable(model: ModelDescription, positions: number): Float32Array {
  const frequencies = ropeFrequencies(model);
  const table = new Float32Array(positions * model.headDim);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < frequencies.length; i++) {
      const [sine, cosine] = exactSineCosine(position * (frequencies[i] as number));
      table[position * model.headDim + 2 * i] = cosine;
      table[position * model.headDim + 2 * i + 1] = sine;
    }
  }
  return table;
}

/** Radians per position of each pair: base^(-2i / headDim), divided as the model's scaling says. */
function ropeFrequencies(model: ModelDescription): Float64Array {
  const { base, positionDivisor, frequencyDivisors } = model.rope;
  const logBase = exactLog(base);
  return Float64Array.from({ length: model.headDim / 2 }, (_, i) => {
    const frequency = exactExp((-2 * i * logBase) / model.headDim);
    return frequency / positionDivisor / (frequencyDivisors?.[i] ?? 1);
  });
}
