/**
 * The number types model files hold. A type packs its elements in blocks: one element for plain floats, 32 with a
 * common f16 scale for Q8_0 and Q4_0. Ids and names are ggml's (`enum ggml_type`), so that a file of a type that is
 * not supported can still be told what it is.
 */

import { assert, ClawError } from "../base/mod.ts";

export type SourceType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

/** How a type packs its elements: `elements` of them take `bytes` bytes. */
export interface BlockLayout {
  readonly elements: number;
  readonly bytes: number;
}

interface SourceRow extends BlockLayout {
  /** ggml's number of the type. */
  readonly id: number;
}

const sourceTable: Readonly<Record<SourceType, SourceRow>> = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
};

/** The types that can be read, in the order messages list them. */
export const sourceTypes: readonly SourceType[] = ["F32", "F16", "BF16", "Q8_0", "Q4_0"];

/** ggml's type names by id; a hole is an id that was withdrawn or never given. */
const ggmlTypeNames: ReadonlyMap<number, string> = new Map([
  ...["F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1"].entries(),
  ...numbered(10, ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K"]),
  ...numbered(16, ["IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS"]),
  ...numbered(24, ["I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16"]),
  ...numbered(31, ["Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0"]),
  ...numbered(36, ["IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4"]),
]);

function numbered(first: number, names: readonly string[]): [number, string][] {
  return names.map((name, index) => [first + index, name]);
}

const typesById: ReadonlyMap<number, SourceType> = new Map(
  sourceTypes.map((type) => [sourceTable[type].id, type]),
);

/** Elements and bytes of one block of `type`. */
export function blockLayout(type: SourceType): BlockLayout {
  return sourceTable[type];
}

/** ggml's number for `type`, as GGUF files hold it. */
export function sourceTypeId(type: SourceType): number {
  return sourceTable[type].id;
}

/** Bytes that `elements` elements of `type` take; `elements` is a multiple of the block. */
export function sourceByteLength(type: SourceType, elements: number): number {
  const { elements: block, bytes } = sourceTable[type];
  assert(elements % block === 0, `${elements} elements are not whole blocks of ${type}.`);
  return (elements / block) * bytes;
}

/** The type with ggml's number `id`. Errors: E_GGUF_TYPE names `tensor`, the type and what is supported. */
export function sourceTypeOfId(id: number, tensor: string): SourceType {
  const type = typesById.get(id);
  if (type !== undefined) return type;
  const name = ggmlTypeNames.get(id) ?? `number ${id}, which is unknown`;
  const supported = sourceTypes.join(", ");
  throw new ClawError(
    "E_GGUF_TYPE",
    `Tensor "${tensor}" has the type ${name}; the types that can be read are ${supported}.`,
  );
}
