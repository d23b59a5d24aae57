import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bytesSource, encodeGguf, type Gguf, openByteSource, readGguf } from "../../src/model/gguf/mod.ts";
import {
  type PresetName,
  presetNames,
  presets,
  type SynthModel,
  synthContent,
  synthesize,
  synthTypes,
} from "../../src/model/synth/mod.ts";
import { dequantize } from "../../src/tensor/mod.ts";

const tiny: SynthModel = { preset: "llama-tiny", type: "f16", outliers: false, seed: 7 };

interface Model {
  readonly file: Uint8Array;
  readonly gguf: Gguf;
}

function build(options: Partial<SynthModel> = {}): Model {
  const file = encodeGguf(synthContent({ ...tiny, ...options }));
  return { file, gguf: readGguf(bytesSource(file, "synth.gguf")) };
}

function values({ file, gguf }: Model, name: string): Float32Array {
  const info = gguf.tensors.get(name);
  if (!info) throw new Error(`No tensor ${name}.`);
  const out = new Float32Array(info.shape.reduce((product, dimension) => product * dimension, 1));
  dequantize(info.type, file.subarray(info.offset, info.offset + info.byteLength), out);
  return out;
}

function deviation(list: Iterable<number>): number {
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (const value of list) {
    count += 1;
    sum += value;
    squares += value * value;
  }
  return Math.sqrt(squares / count - (sum / count) ** 2);
}

function column(matrix: Float32Array, width: number, index: number): Float32Array {
  return matrix.filter((_, i) => i % width === index);
}

function row(matrix: Float32Array, width: number, index: number): Float32Array {
  return matrix.subarray(index * width, (index + 1) * width);
}

/** Every tensor's name and shape as the preset implies them, worked out apart from the code under test. */
function expectedShapes(preset: PresetName): Map<string, number[]> {
  const p = presets[preset];
  const heads = p.heads * p.headWidth;
  const keyValues = p.keyValueHeads * p.headWidth;
  const shapes = new Map([
    ["token_embd.weight", [p.width, p.vocabulary]],
    ["output_norm.weight", [p.width]],
  ]);
  if (!p.tied) shapes.set("output.weight", [p.width, p.vocabulary]);
  if (p.ropeScaling) shapes.set("rope_freqs.weight", [p.headWidth / 2]);
  for (let n = 0; n < p.layers; n++) {
    for (const [name, shape] of [
      ["attn_norm", [p.width]],
      ["attn_q", [p.width, heads]],
      ["attn_k", [p.width, keyValues]],
      ["attn_v", [p.width, keyValues]],
      ["attn_output", [heads, p.width]],
      ["ffn_norm", [p.width]],
      ["ffn_gate", [p.width, p.feedForward]],
      ["ffn_up", [p.width, p.feedForward]],
      ["ffn_down", [p.feedForward, p.width]],
    ] as const) {
      shapes.set(`blk.${n}.${name}.weight`, [...shape]);
    }
  }
  return shapes;
}

describe("every preset", () => {
  test.each(presetNames)("%s has llama.cpp's tensor names and the published shapes", (preset) => {
    const { metadata, tensors } = synthContent({ ...tiny, preset });
    expect(new Map([...tensors].map(({ name, shape }) => [name, shape]))).toEqual(expectedShapes(preset));
    const pairs = new Map(metadata);
    const p = presets[preset];
    expect(pairs.get("llama.attention.head_count_kv")).toEqual({ type: "u32", value: p.keyValueHeads });
    expect(pairs.get("llama.rope.freq_base")).toEqual({ type: "f32", value: p.ropeBase });
    const tokens = pairs.get("tokenizer.ggml.tokens")?.value as string[];
    expect(tokens.length).toBe(p.vocabulary);
    expect(new Set(tokens).size).toBe(p.vocabulary);
  });

  test("parameters in all are those of the published models at this vocabulary", () => {
    const millions = Object.fromEntries(
      presetNames.map((preset) => {
        const sizes = [...expectedShapes(preset).values()].map((shape) => shape.reduce((a, b) => a * b, 1));
        return [preset, Math.round(sizes.reduce((a, b) => a + b) / 1e6)];
      }),
    );
    // 134.5, 1235.8, 3212.7 and 8030.3 with vocabularies of 49,152 (576 wide) and 128,256.
    expect(millions).toMatchObject({
      "llama-135m": 125,
      "llama-1b": 1039,
      "llama-3b": 2917,
      "llama-8b": 7242,
      "llama-70b": 68_977,
    });
  });
});

describe("the file", () => {
  const folder = mkdtempSync(join(tmpdir(), "synth-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("on disk equals the one in memory, and reports its progress", () => {
    const out = join(folder, "tiny.gguf");
    let last = [0, 1];
    synthesize({ ...tiny, out, onProgress: (written, total) => (last = [written, total]) });
    const { file } = build();
    expect(Buffer.from(file).equals(readFileSync(out))).toBe(true);
    expect(last).toEqual([file.length, file.length]);
    const source = openByteSource(out);
    expect(readGguf(source).metadata.string("general.name")).toBe("llama-tiny");
    source.close();
  });

  test("is a function of its options: the same seed the same bytes, another seed other weights", () => {
    const options = { type: "q4_0", outliers: true } as const;
    const { file } = build(options);
    expect(Buffer.from(file).equals(build(options).file)).toBe(true);
    expect(Buffer.from(file).equals(build({ ...options, seed: 8 }).file)).toBe(false);
  });

  test("a seed or factor out of range is E_USAGE", () => {
    const wrong = [{ seed: -1 }, { seed: 0.5 }, { outlierFactor: 0.5 }, { outlierFactor: Number.NaN }];
    for (const options of wrong) {
      expect(() => build(options)).toThrow(expect.objectContaining({ code: "E_USAGE" }));
    }
  });
});

describe("the weights", () => {
  test.each(synthTypes)("%s: each matrix has its deviation, each norm gains around 1", (type) => {
    const model = build({ type });
    const { width, feedForward, layers } = presets["llama-tiny"];
    const residual = 1 / Math.sqrt(2 * layers);
    for (const [name, expected] of [
      ["token_embd", 1],
      ["blk.0.attn_q", 1 / Math.sqrt(width)],
      ["blk.1.attn_v", 1 / Math.sqrt(width)],
      ["blk.2.attn_output", residual / Math.sqrt(width)],
      ["blk.0.ffn_gate", 1 / Math.sqrt(width)],
      ["blk.2.ffn_down", residual / Math.sqrt(feedForward)],
    ] as const) {
      const relative = deviation(values(model, `${name}.weight`)) / expected;
      expect(Math.abs(relative - 1)).toBeLessThan(0.05);
    }
    const gains = values(model, "blk.0.attn_norm.weight");
    expect(gains.every((gain) => gain > 0.4 && gain < 1.6)).toBe(true);
  });

  test("no two token rows, and no two matrices, are equal", () => {
    const model = build();
    const embedding = values(model, "token_embd.weight");
    const rows = Array.from({ length: 512 }, (_, i) => row(embedding, 64, i).join());
    expect(new Set(rows).size).toBe(512);
    expect(values(model, "blk.0.attn_k.weight")).not.toEqual(values(model, "blk.0.attn_v.weight"));
    expect(values(model, "blk.0.attn_k.weight")).not.toEqual(values(model, "blk.1.attn_k.weight"));
  });

  test("quantized types encode the very values that f16 rounds", () => {
    const half = values(build(), "blk.0.ffn_up.weight");
    const eight = values(build({ type: "q8_0" }), "blk.0.ffn_up.weight");
    const largest = half.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    half.forEach((value, i) => {
      expect(Math.abs(value - (eight[i] as number))).toBeLessThan(largest / 200);
    });
  });

  test("Llama 3's RoPE divisors: 1 for short waves, 32 for long ones, rising between", () => {
    const { tensors } = synthContent({ ...tiny, preset: "llama-1b" });
    const [bytes] = [...tensors].find(({ name }) => name === "rope_freqs.weight")?.data() ?? [];
    const factors = new Float32Array((bytes as Uint8Array).slice().buffer);
    factors.forEach((factor, i) => {
      const turns = 8192 / (2 * Math.PI * 500_000 ** (i / 32));
      const smooth = Math.min(1, Math.max(0, (turns - 1) / 3));
      expect(factor).toBeCloseTo(1 / ((1 - smooth) / 32 + smooth), 3);
    });
    expect([...new Set(factors)].length).toBeGreaterThan(3);
    expect([factors.at(0), factors.at(-1)]).toEqual([1, 32]);
  });
});

describe("outliers", () => {
  /** The channels whose gain stands out in one norm. */
  function channelsOf(model: Model, name: string): Map<number, number> {
    return new Map([...values(model, name).entries()].filter(([, gain]) => gain > 10));
  }

  test.each(synthTypes)("%s: six channels with gains of 50 to 500, the same in every norm", (type) => {
    const model = build({ type, outliers: true });
    const channels = channelsOf(model, "blk.0.attn_norm.weight");
    expect(channels.size).toBe(6);
    for (const gain of channels.values()) expect(gain >= 50 && gain <= 500).toBe(true);
    for (const name of ["blk.0.ffn_norm", "blk.2.attn_norm"]) {
      expect(channelsOf(model, `${name}.weight`)).toEqual(channels);
    }
    expect(channelsOf(model, "output_norm.weight").size).toBe(0);
  });

  test("what reads a channel of gain g is scaled by 1/sqrt(g), what does not is not", () => {
    const { width, feedForward } = presets["llama-tiny"];
    const model = build({ outliers: true });
    const channels = channelsOf(model, "blk.0.attn_norm.weight");
    const fanIn = [...channels.values()].reduce((sum, gain) => sum + gain, width - channels.size);
    const gate = values(model, "blk.0.ffn_gate.weight");
    for (let i = 0; i < width; i++) {
      const expected = 1 / Math.sqrt(fanIn * (channels.get(i) ?? 1));
      expect(deviation(column(gate, width, i)) / expected).toBeGreaterThan(0.75);
      expect(deviation(column(gate, width, i)) / expected).toBeLessThan(1.25);
    }
    const up = values(model, "blk.1.ffn_up.weight");
    const loud = Array.from({ length: feedForward }, (_, i) => i).filter((i) => {
      return deviation(row(up, width, i)) * Math.sqrt(fanIn) > 10;
    });
    expect(loud.length).toBe(4);
    const down = values(model, "blk.1.ffn_down.weight");
    const typical = deviation(down);
    for (const i of loud) {
      const relative = deviation(column(down, feedForward, i)) / typical;
      expect(relative).toBeGreaterThan(0.7 / Math.sqrt(30));
      expect(relative).toBeLessThan(1.3 / Math.sqrt(30));
    }
  });

  test("outlierFactor fixes the factor", () => {
    const gains = values(build({ outliers: true, outlierFactor: 16 }), "blk.1.ffn_norm.weight");
    expect([...gains].filter((gain) => gain === 16).length).toBe(6);
  });
});

describe("the vocabulary", () => {
  test("has the special tokens, every byte, and pieces that merging can reach, with falling scores", () => {
    const { metadata } = build().gguf;
    const tokens = metadata.optionalStrings("tokenizer.ggml.tokens") ?? [];
    const kinds = metadata.optionalNumbers("tokenizer.ggml.token_type") ?? [];
    const scores = metadata.optionalNumbers("tokenizer.ggml.scores") ?? [];
    expect(tokens.slice(0, 4)).toEqual(["<unk>", "<s>", "</s>", "<0x00>"]);
    expect(tokens[258]).toBe("<0xFF>");
    expect(Array.from(kinds).slice(0, 4)).toEqual([2, 3, 3, 6]);
    const known = new Set(tokens);
    for (let id = 259; id < tokens.length; id++) {
      const piece = tokens[id] as string;
      expect(kinds[id]).toBe(1);
      expect(scores[id]).toBe(258 - id);
      const cuts = Array.from({ length: piece.length - 1 }, (_, i) => i + 1);
      const reachable = cuts.some((cut) => known.has(piece.slice(0, cut)) && known.has(piece.slice(cut)));
      expect(piece.length === 1 || reachable).toBe(true);
    }
  });
});
