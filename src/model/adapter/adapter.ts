/** From PEFT's tensors to an adapter as the engine takes it, and back. */

import { assert, ClawError } from "../../base/mod.ts";
import { dequantize } from "../../tensor/mod.ts";
import type { ModelDescription } from "../architecture/mod.ts";
import type { ByteSource } from "../gguf/mod.ts";
import { type Adapter, type AdapterMatrix, type LayerMatrix, linearShape } from "../program/mod.ts";
import { VALUES_MAX } from "./limits.ts";
import { type AdapterPlace, peftName, placeOfPeftName, reorderRows, tensorOfPlace } from "./peft.ts";
import { type PeftConfig, scaleOf } from "./peft-config.ts";
import { readSafetensors, type SafeTensor, type SafeTensorContent } from "./safetensors.ts";

/** Reads the tensors of a PEFT adapter of this model. Errors: E_FILE, E_ADAPTER. */
export function adapterOf(source: ByteSource, config: PeftConfig, model: ModelDescription): Adapter {
  const tensors = readSafetensors(source);
  const values = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const refuse = (why: string): never => {
    throw new ClawError("E_ADAPTER", `${source.name} does not fit ${model.name}: ${why}.`);
  };
  if (values > VALUES_MAX) return refuse(`it has ${values} values, and ${VALUES_MAX} are the most`);
  const halves = new Map<string, Float32Array>();
  const places: AdapterPlace[] = [];
  for (const tensor of tensors.values()) {
    const place = placeOfPeftName(tensor.name);
    if (place === undefined || place.layer >= model.layers) {
      return refuse(`the model has no matrix for ${JSON.stringify(tensor.name.slice(0, 120))}`);
    }
    const shape = shapeOf(place, config.rank, model);
    if (tensor.shape.join() !== shape.join()) {
      return refuse(`${tensor.name} is ${tensor.shape.join(" x ")}; ${shape.join(" x ")} was expected`);
    }
    const read = valuesOf(source, tensor);
    if (!read.every(Number.isFinite)) return refuse(`${tensor.name} holds NaN or infinity`);
    halves.set(
      peftName(place),
      place.part === "a" ? read : reorderRows(read, place.matrix, { model, to: "gguf" }),
    );
    places.push(place);
  }
  const pairs = places.map((place): [string, AdapterMatrix] => {
    const [a, b] = (["a", "b"] as const).map((part) => halves.get(peftName({ ...place, part })));
    return [
      tensorOfPlace(place),
      a && b ? { a, b } : refuse(`${peftName(place)} is there without its other half`),
    ];
  });
  if (pairs.length === 0) return refuse("it has no tensors");
  return { rank: config.rank, scale: scaleOf(config), matrices: new Map(pairs) };
}

function valuesOf(source: ByteSource, { type, shape, offset, byteLength }: SafeTensor): Float32Array {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  dequantize(type, source.read(offset, byteLength), values);
  return values;
}

/** Of a tensor as PEFT keeps it. */
function shapeOf({ matrix, part }: AdapterPlace, rank: number, model: ModelDescription): readonly number[] {
  const { rows, columns } = linearShape(model, matrix);
  return part === "a" ? [rank, columns] : [rows, rank];
}

interface Placed {
  readonly layer: number;
  readonly matrix: LayerMatrix;
}

/** A matrix's halves as PEFT keeps them. */
export function peftTensors(
  { a, b }: AdapterMatrix,
  { layer, matrix }: Placed,
  model: ModelDescription,
): SafeTensorContent[] {
  const { rows, columns } = linearShape(model, matrix);
  const rank = a.length / columns;
  assert(b.length === rows * rank, "Both halves have the same rank.");
  return [
    { name: peftName({ layer, matrix, part: "a" }), shape: [rank, columns], values: a },
    {
      name: peftName({ layer, matrix, part: "b" }),
      shape: [rows, rank],
      values: reorderRows(b, matrix, { model, to: "peft" }),
    },
  ];
}
