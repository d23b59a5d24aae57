/** Adapters in PEFT's format: written, read by others, and refused where they are wrong. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClawError } from "../../src/base/mod.ts";
import { reorderRows } from "../../src/model/adapter/peft.ts";
import { readSafetensors } from "../../src/model/adapter/safetensors.ts";
import {
  bytesSource,
  Generator,
  layerTensor,
  linearShape,
  readAdapter,
  type StoredAdapter,
} from "../../src/model/mod.ts";
import { randomAdapter } from "../engine/random-adapter.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";

const CONFIG = "adapter_config.json";
const TENSORS = "adapter_model.safetensors";

let tiny: TinyModel;
let home: string;
let folder: string;
let adapter: StoredAdapter;

beforeAll(() => {
  tiny = tinyModel(4);
  home = mkdtempSync(join(tmpdir(), "claw-peft-"));
  folder = join(home, "adapter");
  adapter = randomAdapter(folder, tiny.model.description, { rank: 3, seed: 5 });
});
afterAll(() => {
  tiny.remove();
  rmSync(home, { recursive: true, force: true });
});

interface Read {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** A second reader, from the format's description alone. */
function readAgain(bytes: Uint8Array): Map<string, Read> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Read>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    expect(entry.dtype).toBe("F32");
    const [begin, end] = entry.data_offsets;
    const values = Array.from({ length: (end - begin) / 4 }, (_, i) =>
      view.getFloat32(8 + length + begin + 4 * i, true),
    );
    tensors.set(name, { shape: entry.shape, values });
  }
  return tensors;
}

describe("what is written", () => {
  test("has PEFT's names, shapes and configuration, and the rows of q and k in Hugging Face's order", () => {
    const { layers, heads, kvHeads, headDim } = tiny.model.description;
    const tensors = readAgain(readFileSync(join(folder, TENSORS)));
    expect(tensors.size).toBe(layers * 7 * 2);
    const name = (rest: string): string => `base_model.model.model.layers.1.${rest}.weight`;
    const { rows, columns } = linearShape(tiny.model.description, "down");
    expect(tensors.get(name("mlp.down_proj.lora_A"))?.shape).toEqual([3, columns]);
    expect(tensors.get(name("mlp.down_proj.lora_B"))?.shape).toEqual([rows, 3]);
    expect(tensors.get(name("self_attn.o_proj.lora_B"))?.values).toEqual([
      ...(adapter.matrices.get(layerTensor(1, "o"))?.b ?? []),
    ]);
    for (const [matrix, count] of [
      ["q", heads],
      ["k", kvHeads],
    ] as const) {
      const found = tensors.get(name(`self_attn.${matrix}_proj.lora_B`))?.values ?? [];
      const kept = adapter.matrices.get(layerTensor(1, matrix))?.b ?? [];
      for (let row = 0; row < count * headDim; row++) {
        // Row 2i + h of a head in GGUF is row h * headDim / 2 + i of Hugging Face's.
        const place = row % headDim;
        const theirs = row - place + (place % 2) * (headDim / 2) + (place >> 1);
        expect(found.slice(theirs * 3, theirs * 3 + 3)).toEqual([...kept.slice(row * 3, row * 3 + 3)]);
      }
    }
    expect(JSON.parse(readFileSync(join(folder, CONFIG), "utf8"))).toMatchObject({
      ...{
        peft_type: "LORA",
        task_type: "CAUSAL_LM",
        r: 3,
        lora_alpha: 6,
        bias: "none",
        fan_in_fan_out: false,
      },
      target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    });
  });

  test("has the digest that sha256sum gives", () => {
    const lines = execFileSync("sha256sum", [CONFIG, TENSORS], { cwd: folder });
    const [digest] = execFileSync("sha256sum", { input: lines }).toString().split(" ");
    expect(adapter.digest).toBe(digest);
  });
});

test("attention scores are the same with Hugging Face's rows and rotation as with GGUF's", () => {
  const model = tiny.model.description;
  const { headDim } = model;
  const generator = new Generator(9, 9);
  const draw = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => generator.gaussian());
  const theirs = { q: draw(model.heads * headDim), k: draw(model.kvHeads * headDim) };
  const ours = {
    q: reorderRows(theirs.q, "q", { model, to: "gguf" }),
    k: reorderRows(theirs.k, "k", { model, to: "gguf" }),
  };
  const half = headDim / 2;
  const angle = (position: number, i: number): number => position / 10_000 ** ((2 * i) / headDim);
  // transformers' rotate_half, and llama.cpp's adjacent pairs, of the first head.
  const turnedHalves = (x: Float32Array, position: number): number[] =>
    Array.from({ length: headDim }, (_, d) => {
      const [i, other] = d < half ? [d, -(x[d + half] as number)] : [d - half, x[d - half] as number];
      return (x[d] as number) * Math.cos(angle(position, i)) + other * Math.sin(angle(position, i));
    });
  const turnedPairs = (x: Float32Array, position: number): number[] =>
    Array.from({ length: headDim }, (_, d) => {
      const i = d >> 1;
      const other = d % 2 === 0 ? -(x[d + 1] as number) : (x[d - 1] as number);
      return (x[d] as number) * Math.cos(angle(position, i)) + other * Math.sin(angle(position, i));
    });
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((s, x, i) => s + x * (b[i] ?? 0), 0);
  const expected = dot(turnedHalves(theirs.q, 7), turnedHalves(theirs.k, 3));
  expect(dot(turnedPairs(ours.q, 7), turnedPairs(ours.k, 3))).toBeCloseTo(expected, 5);
  expect(dot(turnedPairs(theirs.q, 7), turnedPairs(theirs.k, 3))).not.toBeCloseTo(expected, 2);
});

function fileOf(header: unknown, data = 0): Uint8Array {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = Buffer.alloc(8 + text.length + data);
  bytes.writeBigUInt64LE(BigInt(text.length));
  text.copy(bytes, 8);
  return bytes;
}

const entry = (begin: number, end: number, more: object = {}): object => ({
  ...{ dtype: "F32", shape: [(end - begin) / 4], data_offsets: [begin, end] },
  ...more,
});

const hugeLength = Buffer.alloc(16, 0xff);

describe("safetensors that are refused", () => {
  test.each([
    ["an empty file", new Uint8Array(0), "ends before its header"],
    ["a header of 2^64 bytes", hugeLength, "beyond the file"],
    ["a header longer than the file", fileOf("{}").subarray(0, 9), "beyond the file"],
    ["a header that is no JSON", fileOf("{"), "no JSON object"],
    ["a header that is a list", fileOf([]), "no JSON object"],
    ["another type", fileOf({ a: entry(0, 8, { dtype: "I64", shape: [1] }) }, 8), "F32, F16, BF16"],
    ["a shape that is not one", fileOf({ a: entry(0, 8, { shape: [-2] }) }, 8), "no shape"],
    [
      "a size beyond what is exact",
      fileOf({ a: entry(0, 8, { shape: [2 ** 40, 2 ** 40] }) }, 8),
      "takes 8 bytes",
    ],
    ["a tensor beyond the file", fileOf({ a: entry(0, 16) }, 8), "outside of 8 bytes"],
    ["offsets the wrong way round", fileOf({ a: entry(8, 4, { shape: [1] }) }, 8), "outside"],
    ["a size that contradicts the shape", fileOf({ a: entry(0, 8, { shape: [3] }) }, 8), "takes 8 bytes"],
    ["tensors that overlap", fileOf({ a: entry(0, 8), b: entry(4, 12) }, 12), "end at 8"],
    ["a hole", fileOf({ a: entry(0, 4), b: entry(8, 12) }, 12), "end at 4"],
    ["bytes after the last one", fileOf({ a: entry(0, 4) }, 12), "end at 4 of 12"],
  ])("%s", (_, bytes, message) => {
    expect(() => readSafetensors(bytesSource(bytes, "adapter"))).toThrow(message);
  });

  test("mutated files either read as well-placed tensors or are refused with a code", () => {
    const whole = readFileSync(join(folder, TENSORS));
    const generator = new Generator(2, 2);
    const counts = { read: 0, refused: 0 };
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from(
        whole.subarray(0, generator.below(10) === 0 ? generator.below(whole.length) : whole.length),
      );
      for (let n = 1 + generator.below(4); n > 0; n--) {
        const place = generator.below(Math.min(bytes.length, 6000));
        bytes[place] = generator.below(256);
      }
      try {
        for (const { offset, byteLength } of readSafetensors(bytesSource(bytes, "adapter")).values()) {
          expect(offset + byteLength).toBeLessThanOrEqual(bytes.length);
        }
        counts.read++;
      } catch (error) {
        expect(error).toBeInstanceOf(ClawError);
        expect(error).toMatchObject({ code: "E_ADAPTER" });
        counts.refused++;
      }
    }
    expect(counts.read).toBeGreaterThan(100);
    expect(counts.refused).toBeGreaterThan(1000);
  });
});

describe("adapters that are refused", () => {
  const config = (): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder, CONFIG), "utf8")) as Record<string, unknown>;

  function refused(change: { config?: object | string; tensors?: Uint8Array }): () => unknown {
    const other = mkdtempSync(join(home, "other-"));
    const text =
      typeof change.config === "string" ? change.config : JSON.stringify({ ...config(), ...change.config });
    writeFileSync(join(other, CONFIG), text);
    writeFileSync(join(other, TENSORS), change.tensors ?? readFileSync(join(folder, TENSORS)));
    return () => readAdapter(other, tiny.model.description);
  }

  test.each([
    ["no JSON", "{", "not JSON"],
    ["another method", { peft_type: "IA3" }, "only LORA"],
    ["a rank of 0", { r: 0 }, "its r is 0"],
    ["another rank than the tensors'", { r: 4 }, "4 x"],
    ["an alpha that is no number", { lora_alpha: "x" }, "lora_alpha"],
    ["DoRA", { use_dora: true }, "use_dora"],
    ["ranks of single matrices", { rank_pattern: { q_proj: 4 } }, "rank_pattern"],
    ["biases", { bias: "all" }, "uses bias"],
    ["whole modules", { modules_to_save: ["lm_head"] }, "modules_to_save"],
  ])("%s", (_, change, message) => {
    const read = refused({ config: change });
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ code: "E_ADAPTER" }));
  });

  const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
  test.each([
    ["a matrix that no llama has", { "base_model.model.lm_head.lora_A.weight": entry(0, 4) }, "no matrix"],
    ["a layer too many", { [name.replace(".0.", ".99.")]: entry(0, 4) }, "no matrix"],
    ["half of a pair", { [name]: entry(0, 768, { shape: [3, 64] }) }, "without its other half"],
    ["no tensors", {}, "no tensors"],
  ])("%s", (_, header, message) => {
    const ends = Object.values(header as Record<string, { data_offsets: [number, number] }>);
    const data = ends[0]?.data_offsets[1] ?? 0;
    expect(refused({ tensors: fileOf(header, data) })).toThrow(message);
  });

  test("NaN", () => {
    const bytes = Uint8Array.from(readFileSync(join(folder, TENSORS)));
    bytes.fill(0xff, bytes.length - 4);
    expect(refused({ tensors: bytes })).toThrow("NaN");
  });
});

test("rsLoRA's scale is alpha over the rank's square root", () => {
  const other = mkdtempSync(join(home, "rs-"));
  const config = JSON.parse(readFileSync(join(folder, CONFIG), "utf8")) as object;
  writeFileSync(join(other, CONFIG), JSON.stringify({ ...config, use_rslora: true }));
  writeFileSync(join(other, TENSORS), readFileSync(join(folder, TENSORS)));
  expect(readAdapter(other, tiny.model.description).scale).toBe(Math.fround(6 / Math.sqrt(3)));
  expect(adapter.scale).toBe(2);
});
