/** Our engine beside llama.cpp, an implementation that shares nothing with it, on the same files and tokens. */

import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRuntime, openDevice, type Runtime, scoreTokens } from "../../src/engine/mod.ts";
import type { Device, WeightFormat } from "../../src/kernels/mod.ts";
import { type Model, openModel, type SynthType, synthesize } from "../../src/model/mod.ts";
import { oracle, peerInstalled } from "../peer.ts";

const STORIES = "../shared/models/stories260K.gguf";
const CORPUS = "../shared/corpus/classics-valid.txt";
const ready = peerInstalled() && existsSync(STORIES) && existsSync(CORPUS);
const why = ready ? "" : " (skipped: tools/peer is not installed, or ../shared is not there)";

const run = promisify(execFile);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-peer-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function claw(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("./claw", args, { maxBuffer: 1 << 26 });
  return stdout;
}

interface Opened {
  readonly model: Model;
  readonly device: Device;
  readonly runtime: Runtime;
}

async function open(path: string, format: WeightFormat, context: number): Promise<Opened> {
  const model = openModel(path);
  const { device } = await openDevice({ device: "auto" });
  const runtime = await createRuntime(device, model, { format, context, batch: 1, rows: 64, outputs: 64 });
  return { model, device, runtime };
}

/** Raw logits of every position, ours and llama.cpp's, in files of the same layout. */
async function ourLogits({ runtime }: Opened, tokens: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  await scoreTokens(runtime, Int32Array.from(tokens), {
    from: 0,
    visit: (_, logits) => rows.push(logits.slice()),
  });
  return rows;
}

/** llama.cpp as it comes: its own cache format and attention, where the oracle's default is the most exact there is. */
const stock = { kv: "f16", flash: "auto" } as const;

async function theirLogits(
  model: string,
  tokens: readonly number[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Float32Array[]> {
  const [list, out] = [join(folder, "tokens.json"), join(folder, "logits.bin")];
  writeFileSync(list, JSON.stringify(tokens));
  const { rows, vocab } = (await oracle("logits", { model, "tokens-file": list, out, ...settings })) as {
    rows: number;
    vocab: number;
  };
  const values = new Float32Array(new Uint8Array(readFileSync(out)).buffer);
  return Array.from({ length: rows }, (_, row) => values.subarray(row * vocab, (row + 1) * vocab));
}

function largestDifference(ours: readonly Float32Array[], theirs: readonly Float32Array[]): number {
  let largest = 0;
  for (const [row, values] of ours.entries()) {
    const other = theirs[row] as Float32Array;
    for (let id = 0; id < other.length; id++) {
      largest = Math.max(largest, Math.abs((values[id] as number) - (other[id] as number)));
    }
  }
  return largest;
}

function corpusTokens(model: Model, bytes: number, count: number): number[] {
  const text = readFileSync(CORPUS).subarray(0, bytes).toString("utf8");
  return [...model.tokenizer.encode(text, { addSpecial: true })].slice(0, count);
}

describe.skipIf(!ready)(`stories260K${why}`, () => {
  test("greedy text of 120 tokens is llama.cpp's", async () => {
    const prompt = "Once upon a time";
    const options = ["--format", "f16", "--temperature", "0", "--max-tokens", "120"];
    const ours = await claw("run", "--model", STORIES, ...options, prompt);
    const theirs = (await oracle("generate", { model: STORIES, prompt, "max-tokens": 120 })) as {
      text: string;
    };
    expect(ours.trimEnd()).toBe(theirs.text.trimEnd());
    expect(theirs.text.length).toBeGreaterThanOrEqual(300);
  });

  test("f16 logits at 200 positions are within 2e-2, i8 logits are not far", async () => {
    const opened = await open(STORIES, "f16", 256);
    const tokens = corpusTokens(opened.model, 4000, 200);
    expect(tokens).toHaveLength(200);
    const theirs = await theirLogits(STORIES, tokens);
    const ours = await ourLogits(opened, tokens);
    opened.device.close();
    expect(ours).toHaveLength(200);
    const difference = largestDifference(ours, theirs);
    console.info(`f16: largest difference of a logit over 200 positions: ${difference.toExponential(2)}`);
    expect(difference).toBeLessThan(2e-2);
    expect(difference).toBeGreaterThan(0);
    // Not a bar for us: how far its own f16 cache takes llama.cpp from the same model.
    const asItComes = await theirLogits(STORIES, tokens, stock);
    const [fromOurs, fromItsOwn] = [largestDifference(ours, asItComes), largestDifference(theirs, asItComes)];
    console.info(`llama.cpp with its f16 cache: ${fromOurs} from ours, ${fromItsOwn} from its own with f32`);
  });

  test.each([
    ["i8", "pure", 0.01],
    ["i4", "pure", 0.02],
    ["i4", "usual", 0.05],
  ])(
    "perplexity: %s within what a %s mixture of llama.cpp's own making has, plus %d",
    async (format, mixture, tolerance) => {
      const options = ["--model", STORIES, "--text", CORPUS, "--bytes", "40000", "--format", format];
      const said = await claw(
        "bench",
        "perplexity",
        ...options,
        "--mixture",
        mixture,
        "--peer",
        "llama.cpp",
        "--json",
      );
      const report = JSON.parse(said) as PerplexityReport;
      const { base, quantized, count } = report.details;
      console.info(`${format}: ${report.ours}, llama.cpp ${report.peer}, ratio ${report.ratio}`);
      expect(count).toBeGreaterThan(10_000);
      expect(report.ratio).toBeLessThan(1 + tolerance);
      expect(Math.abs(base.ours / base.peer - 1)).toBeLessThan(0.001);
      // The only matrices whose rows no type's blocks divide, and what llama.cpp treats better of its own accord.
      const others = quantized.others
        .map(({ name }) => name)
        .filter((name) => !name.endsWith("ffn_down.weight"));
      expect(others).toEqual(mixture === "usual" ? ["token_embd.weight"] : []);
    },
  );
});

interface PerplexityReport {
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly details: {
    readonly count: number;
    readonly base: { readonly ours: number; readonly peer: number };
    readonly quantized: { readonly others: readonly { readonly name: string }[] };
  };
}

describe.skipIf(!ready)(`synthetic models${why}`, () => {
  const types: readonly SynthType[] = ["f16", "q8_0", "q4_0"];

  test.each(types)("llama.cpp loads a %s file and agrees on its logits", async (type) => {
    const out = join(folder, `tiny-${type}.gguf`);
    synthesize({ preset: "llama-tiny", type, outliers: false, seed: 3, out });
    const opened = await open(out, "f16", 128);
    const tokens = Array.from({ length: 64 }, (_, i) => (i * 29 + 1) % 512);
    const ours = await ourLogits(opened, tokens);
    opened.device.close();
    const theirs = await theirLogits(out, tokens);
    const difference = largestDifference(ours, theirs);
    console.info(`${type}: largest difference of a logit: ${difference.toExponential(2)}`);
    // Q8_0 and Q4_0 files make llama.cpp quantize activations to 8 bits; F16 files do not.
    expect(difference).toBeLessThan(type === "f16" ? 2e-2 : 0.5);
  });

  test("on the outlier model i8 diverges from f16 less than Q8_0 does from F16", async () => {
    const tokens = Array.from({ length: 128 }, (_, i) => (i * i * 31 + i * 17 + 300) % 32_000);
    const [half, eight] = [join(folder, "outliers-f16.gguf"), join(folder, "outliers-q8.gguf")];
    synthesize({ preset: "llama-135m", type: "f16", outliers: true, seed: 5, out: half });
    synthesize({ preset: "llama-135m", type: "q8_0", outliers: true, seed: 5, out: eight });
    const ours: Float32Array[][] = [];
    for (const format of ["f16", "i8"] as const) {
      const opened = await open(half, format, 128);
      ours.push(await ourLogits(opened, tokens));
      opened.device.close();
    }
    const ourDivergence = meanDivergence(ours[0] as Float32Array[], ours[1] as Float32Array[]);
    const theirDivergence = meanDivergence(await theirLogits(half, tokens), await theirLogits(eight, tokens));
    const ratio = ourDivergence / theirDivergence;
    console.info(`outliers: KL i8|f16 ${ourDivergence}, Q8_0|F16 ${theirDivergence}, ratio ${ratio}`);
    expect(theirDivergence).toBeGreaterThan(1e-6);
    expect(ratio).toBeLessThan(0.8);
  });
});

/** Mean KL divergence, in nats, of the distributions of `other` from those of `base`. */
function meanDivergence(base: readonly Float32Array[], other: readonly Float32Array[]): number {
  const total = base.reduce((sum, row, index) => sum + divergence(row, other[index] as Float32Array), 0);
  return total / base.length;
}

function divergence(base: Float32Array, other: Float32Array): number {
  const [logBase, logOther] = [logNormalizer(base), logNormalizer(other)];
  let sum = 0;
  for (let id = 0; id < base.length; id++) {
    const p = (base[id] as number) - logBase;
    sum += Math.exp(p) * (p - ((other[id] as number) - logOther));
  }
  return sum;
}

function logNormalizer(logits: Float32Array): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}
