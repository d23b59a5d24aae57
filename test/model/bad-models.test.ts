/** Files whose GGUF is sound but whose model is not: refused with a code, on every device, before anything is served. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRuntime } from "../../src/engine/mod.ts";
import {
  encodeGguf,
  type GgufContent,
  type GgufValue,
  type TensorContent,
} from "../../src/model/gguf/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import { synthContent } from "../../src/model/synth/mod.ts";
import { nativeDevices, reference } from "../engine/tiny.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-bad-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Parts {
  readonly metadata: Map<string, GgufValue>;
  readonly tensors: Map<string, TensorContent>;
}

const sound = synthContent({ preset: "llama-tiny", type: "f16", outliers: false, seed: 3 });
const soundTensors = [...sound.tensors].map((tensor) => {
  const data = [...tensor.data()].map((chunk) => chunk.slice());
  return [tensor.name, { ...tensor, data: () => data }] as const;
});

/** The sound tiny model, in parts that a case changes. */
function soundParts(): Parts {
  return { metadata: new Map(sound.metadata), tensors: new Map(soundTensors) };
}

/** The tensor with the bytes of one element replaced. */
function withElement(tensor: TensorContent, bytes: readonly number[]): TensorContent {
  const data = Buffer.concat([...tensor.data()].map((chunk) => Buffer.from(chunk)));
  data.set(bytes, Math.floor(data.length / bytes.length / 3) * bytes.length);
  return { ...tensor, data: () => [data] };
}

function replace(parts: Parts, name: string, change: (tensor: TensorContent) => TensorContent): void {
  const tensor = parts.tensors.get(name);
  if (tensor === undefined) throw new Error(`No tensor ${name}.`);
  parts.tensors.set(name, change(tensor));
}

const ROPE = "rope_freqs.weight";

function vector(name: string, length: number): TensorContent {
  return { name, type: "F32", shape: [length], data: () => [new Uint8Array(4 * length)] };
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });

type Case = readonly [what: string, code: string, change: (parts: Parts) => void];

const cases: readonly Case[] = [
  [
    "NaN in a matrix",
    "E_WEIGHTS",
    (p) => replace(p, "blk.1.ffn_up.weight", (t) => withElement(t, [0x00, 0x7e])),
  ],
  [
    "infinity in a matrix",
    "E_WEIGHTS",
    (p) => replace(p, "token_embd.weight", (t) => withElement(t, [0x00, 0x7c])),
  ],
  [
    "NaN in a norm",
    "E_WEIGHTS",
    (p) => replace(p, "output_norm.weight", (t) => withElement(t, [0, 0, 0xc0, 0x7f])),
  ],
  ["a missing matrix", "E_MODEL_SHAPE", ({ tensors }) => tensors.delete("blk.2.attn_v.weight")],
  ["a missing norm", "E_MODEL_SHAPE", ({ tensors }) => tensors.delete("blk.0.ffn_norm.weight")],
  [
    "a matrix of another shape",
    "E_MODEL_SHAPE",
    (p) =>
      replace(p, "blk.0.attn_q.weight", (t) => ({
        ...t,
        shape: [...t.shape].map((n) => n / 2),
        data: () => [Buffer.alloc(32 * 32 * 2)],
      })),
  ],
  [
    "a tensor that would be ignored",
    "E_ARCHITECTURE",
    (p) =>
      p.tensors.set("blk.0.attn_q.bias", {
        ...(p.tensors.get("output_norm.weight") as TensorContent),
        name: "blk.0.attn_q.bias",
      }),
  ],
  [
    "another architecture",
    "E_ARCHITECTURE",
    ({ metadata }) => metadata.set("general.architecture", { type: "string", value: "mamba" }),
  ],
  ["no architecture", "E_GGUF", ({ metadata }) => metadata.delete("general.architecture")],
  ["no tokenizer", "E_TOKENIZER", ({ metadata }) => metadata.delete("tokenizer.ggml.model")],
  ["no tokens", "E_TOKENIZER", ({ metadata }) => metadata.delete("tokenizer.ggml.tokens")],
  ["no layers", "E_MODEL_SHAPE", ({ metadata }) => metadata.set("llama.block_count", u32(0))],
  ["more layers than tensors", "E_MODEL_SHAPE", ({ metadata }) => metadata.set("llama.block_count", u32(4))],
  [
    "an absurd number of layers",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.block_count", u32(4e9)),
  ],
  [
    "heads that do not divide",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.attention.head_count_kv", u32(3)),
  ],
  [
    "an odd head dimension",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.attention.key_length", u32(15)),
  ],
  [
    "a partial rotation",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.rope.dimension_count", u32(8)),
  ],
  [
    "a negative RoPE base",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.rope.freq_base", { type: "f32", value: -1 }),
  ],
  [
    "a RoPE base that makes no angles",
    "E_MODEL_SHAPE",
    ({ metadata }) => metadata.set("llama.rope.freq_base", { type: "f64", value: 1e-300 }),
  ],
  ["RoPE divisors of zero", "E_MODEL_SHAPE", (p) => p.tensors.set(ROPE, vector(ROPE, 8))],
  ["RoPE divisors without number", "E_MODEL_SHAPE", (p) => p.tensors.set(ROPE, vector(ROPE, 4096))],
  [
    "an unknown RoPE scaling",
    "E_ARCHITECTURE",
    ({ metadata }) => metadata.set("llama.rope.scaling.type", { type: "string", value: "yarn" }),
  ],
  [
    "a broken chat template",
    "E_TEMPLATE",
    ({ metadata }) => metadata.set("tokenizer.chat_template", { type: "string", value: "{% for %}" }),
  ],
  [
    "a width that is text",
    "E_GGUF",
    ({ metadata }) => metadata.set("llama.embedding_length", { type: "string", value: "64" }),
  ],
  ["experts", "E_ARCHITECTURE", ({ metadata }) => metadata.set("llama.expert_count", u32(8))],
];

async function load(content: GgufContent, device: typeof reference): Promise<void> {
  const path = join(folder, "model.gguf");
  writeFileSync(path, encodeGguf(content));
  const model = openModel(path);
  const opened = device.open();
  try {
    await createRuntime(opened, model, { format: "i8", context: 64, batch: 1, rows: 8 });
  } finally {
    opened.close();
    model.close();
  }
}

describe.each([reference, ...nativeDevices.slice(-1)])("on $name", (device) => {
  test("the sound model loads", async () => {
    const { metadata, tensors } = soundParts();
    await load({ metadata, tensors: tensors.values() }, device);
  });

  test.each(cases)("%s: %s", async (_, code, change) => {
    const parts = soundParts();
    change(parts);
    const attempt = load({ metadata: parts.metadata, tensors: parts.tensors.values() }, device);
    await expect(attempt).rejects.toMatchObject({ code });
  });
});
