/** An adapter within a model, or as a file that llama.cpp loads beside one. */

import { assert } from "../../base/mod.ts";
import { type Adapter, type GgufValue, type TensorContent, writeGguf } from "../../model/mod.ts";
import type { ModelContent } from "./model-file.ts";

/** The model whose matrices are W + scale * B A: computed in f64, each value rounded once. */
export function mergeAdapter(content: ModelContent, { rank, scale, matrices }: Adapter): ModelContent {
  const parameters = new Map(content.parameters);
  for (const [name, { a, b }] of matrices) {
    const weights = content.parameters.get(name);
    const columns = a.length / rank;
    assert(weights?.length === (b.length / rank) * columns, `The adapter fits ${name}.`);
    parameters.set(
      name,
      weights.map((weight, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        let sum = 0;
        for (let r = 0; r < rank; r++) {
          sum += (b[row * rank + r] as number) * (a[r * columns + column] as number);
        }
        return weight + scale * sum;
      }),
    );
  }
  return { ...content, parameters };
}

/** Writes the adapter as llama.cpp's `--lora` takes it: GGUF, f32. Errors: E_FILE. */
export function exportAdapter(path: string, { rank, scale, matrices }: Adapter, name: string): void {
  const text = (value: string): GgufValue => ({ type: "string", value });
  const metadata: [string, GgufValue][] = [
    ["general.architecture", text("llama")],
    ["general.type", text("adapter")],
    ["general.name", text(name)],
    ["adapter.type", text("lora")],
    // llama.cpp divides it by the rank.
    ["adapter.lora.alpha", { type: "f32", value: scale * rank }],
  ];
  const tensors = [...matrices].flatMap(([tensor, { a, b }]): TensorContent[] => [
    tensorOf(`${tensor}.lora_a`, a, a.length / rank),
    tensorOf(`${tensor}.lora_b`, b, rank),
  ]);
  writeGguf(path, { metadata, tensors });
}

function tensorOf(name: string, values: Float32Array, columns: number): TensorContent {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { name, type: "F32", shape: [columns, values.length / columns], data: () => [bytes] };
}
