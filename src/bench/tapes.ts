/** Programs of a single kind of operation, to time it apart from a model. */

import { type BufferSpec, OP, type Program } from "../kernels/mod.ts";
import type { ModelDescription } from "../model/mod.ts";

/** Buffers of the programs here; a program needs one for logits, used or not. */
export const FIRST = 0;
export const SECOND = 1;
const LOGITS = 2;
const logits: BufferSpec = { kind: "f32", name: "logits", domain: "outputs", width: 1 };

/** Writes FIRST and SECOND, [rows][kvHeads * headDim], to the KV pages of every layer. */
export function kvWriteProgram({ layers, kvHeads, headDim }: ModelDescription): Program {
  const width = kvHeads * headDim;
  const buffers = [f32("k", width), f32("v", width), logits];
  const tape = Array.from({ length: layers }, (_, layer) => [OP.KV_WRITE, FIRST, SECOND, layer, 0, kvHeads]);
  return { buffers, tape: Int32Array.from([...tape.flat(), OP.END]), logits: LOGITS };
}

/** The attention of every layer, one after the other: FIRST is the result, SECOND the queries. */
export function attentionProgram({ layers, heads, kvHeads, headDim }: ModelDescription): Program {
  const width = heads * headDim;
  const scale = new Int32Array(Float32Array.of(1 / Math.sqrt(headDim)).buffer)[0] ?? 0;
  const buffers = [f32("out", width), f32("q", width), logits];
  const tape = Array.from({ length: layers }, (_, layer) => {
    return [OP.ATTENTION, FIRST, SECOND, layer, 0, kvHeads, heads, scale];
  });
  return { buffers, tape: Int32Array.from([...tape.flat(), OP.END]), logits: LOGITS };
}

function f32(name: string, width: number): BufferSpec {
  return { kind: "f32", name, domain: "tokens", width };
}
