/** Golden vectors as JSON: typed arrays in base64, everything else as it is. */

import type { KernelCase, Outcome } from "../kernel-case.ts";

export interface GoldenVector {
  readonly test: KernelCase;
  readonly outcome: Outcome;
}

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

export function encodeGolden(vectors: readonly GoldenVector[]): string {
  const replacer = (_key: string, value: unknown): unknown => {
    if (value instanceof Float32Array) return { f32: bytesOf(value).toString("base64") };
    if (value instanceof Uint8Array) return { u8: bytesOf(value).toString("base64") };
    return value;
  };
  return `[\n${vectors.map((vector) => JSON.stringify(vector, replacer)).join(",\n")}\n]\n`;
}

export function decodeGolden(text: string): readonly GoldenVector[] {
  const reviver = (_key: string, value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if ("f32" in value) return new Float32Array(decode(value.f32).buffer);
    if ("u8" in value) return decode(value.u8);
    return value;
  };
  return JSON.parse(text, reviver) as readonly GoldenVector[];
}

function decode(base64: unknown): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(String(base64), "base64"));
}
