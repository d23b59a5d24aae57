/** A trained model as a GGUF file. */

import { assert, ClawError } from "../../base/mod.ts";
import {
  type GgufValue,
  llamaMetadata,
  type ModelDescription,
  ROPE_FREQUENCIES,
  type TensorContent,
  writeGguf,
} from "../../model/mod.ts";
import { blockLayout, quantizeSource, type SourceType, sourceByteLength } from "../../tensor/mod.ts";
import type { MetadataEntries } from "../data/mod.ts";
import { elementCount, modelTensors, type TensorShape } from "./tensors.ts";

/** How a file holds matrices; vectors are f32. */
export type ExportType = "f32" | "f16" | "q8_0";

export const exportTypes: readonly ExportType[] = ["f32", "f16", "q8_0"];

export interface ModelContent {
  readonly description: ModelDescription;
  /** Every tensor by its GGUF name, in the order of rows. */
  readonly parameters: ReadonlyMap<string, Float32Array>;
  /** The tokenizer's metadata: `NamedTokenizer.metadata`. */
  readonly tokenizer: MetadataEntries;
  /** Jinja source; undefined for none. */
  readonly chatTemplate: string | undefined;
}

interface TypeRow {
  readonly source: SourceType;
  /** llama.cpp's `llama_ftype`. */
  readonly fileType: number;
}

const types: Readonly<Record<ExportType, TypeRow>> = {
  f32: { source: "F32", fileType: 0 },
  f16: { source: "F16", fileType: 1 },
  q8_0: { source: "Q8_0", fileType: 7 },
};

const CHAT_TEMPLATE_KEY = "tokenizer.chat_template";
/** About how many values are encoded at a time. */
const CHUNK_VALUES: number = 1 << 20;

/** Writes the file at `path`, whole or not at all. Errors: E_FILE; E_USAGE for a width that q8_0 cannot hold. */
export function exportModel(path: string, content: ModelContent, type: ExportType): void {
  const { description, parameters, tokenizer, chatTemplate } = content;
  const { source, fileType } = types[type];
  const tensors = modelTensors(description).map((tensor) => {
    const values = parameters.get(tensor.name);
    assert(values?.length === elementCount(tensor), `The parameters should hold all of ${tensor.name}.`);
    return tensorContent(tensor, values, typeOf(tensor, source));
  });
  const template: [string, GgufValue][] =
    chatTemplate === undefined ? [] : [[CHAT_TEMPLATE_KEY, { type: "string", value: chatTemplate }]];
  const vocabulary = tokenizer.filter(([key]) => key !== CHAT_TEMPLATE_KEY);
  const metadata = [...llamaMetadata(description, fileType), ...vocabulary, ...template];
  writeGguf(path, { metadata, tensors: [...tensors, ...frequencies(description)] });
}

function frequencies({ rope }: ModelDescription): TensorContent[] {
  const divisors = rope.frequencyDivisors;
  if (divisors === undefined) return [];
  return [tensorContent({ name: ROPE_FREQUENCIES, shape: [divisors.length] }, divisors, "F32")];
}

function typeOf({ name, shape }: TensorShape, matrix: SourceType): SourceType {
  if (shape.length === 1) return "F32";
  const { elements } = blockLayout(matrix);
  if (shape[0] % elements === 0) return matrix;
  const width = `${name} has rows of ${shape[0]}, and ${matrix} holds multiples of ${elements}`;
  throw new ClawError("E_USAGE", `Cannot write the model so: ${width}.`);
}

function tensorContent(tensor: TensorShape, values: Float32Array, type: SourceType): TensorContent {
  const { name, shape } = tensor;
  return { name, type, shape, data: () => encodedChunks(values, type) };
}

/** A tensor's rows lie end to end in whole blocks, so chunks of whole blocks are as good as rows. */
function* encodedChunks(values: Float32Array, type: SourceType): Iterable<Uint8Array> {
  for (let start = 0; start < values.length; start += CHUNK_VALUES) {
    const part = values.subarray(start, start + CHUNK_VALUES);
    const bytes = new Uint8Array(sourceByteLength(type, part.length));
    quantizeSource(type, part, bytes);
    yield bytes;
  }
}
