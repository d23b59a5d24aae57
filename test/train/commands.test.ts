/** I/O: the commands around training, as a user types them. */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { chooseModel } from "../../src/cli/files.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { openModel } from "../../src/model/mod.ts";
import { ByteGrams } from "../../src/train/baseline/mod.ts";
import { scratchFolder, smallDocuments, writeCorpus } from "./data/corpus.ts";

const run = promisify(execFile);

async function claw(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("./claw", args);
  return stdout;
}

describe("the commands around training", () => {
  const folder = scratchFolder();
  const documents = smallDocuments([300, 200, 150]);
  const corpus = writeCorpus(folder, documents);

  test("learn a tokenizer and encode a corpus with it", async () => {
    const tokenizer = join(folder, "tokenizer.gguf");
    await claw("tokenizer", "train", "--corpus", corpus, "--out", tokenizer, "--vocabulary", "300");
    const out = ["--out", join(folder, "data"), "--tokenizer", tokenizer, "--valid", corpus, "--json"];
    const said = JSON.parse(await claw("corpus", "encode", "--corpus", corpus, ...out)) as {
      train: { tokens: number; documents: number; bytes: number };
      valid: unknown;
    };
    expect(said.train.documents).toBe(3);
    expect(said.train.bytes).toBe(Buffer.byteLength(documents.join("")));
    expect(said.valid).toEqual(said.train);
  });

  test("write a model anew, and measure it per byte beside a 5-gram model", async () => {
    const [made, exported] = [join(folder, "made.gguf"), join(folder, "anew.gguf")];
    await claw("model", "synth", "--preset", "llama-tiny", "--out", made);
    await claw("model", "export", made, "--out", exported, "--type", "q8_0", "--name", "anew", "--story");
    const [before, after] = [openModel(made), openModel(exported)];
    expect(after.description).toEqual({ ...before.description, name: "anew" });
    expect(after.template.source).toBe("model");
    expect(after.gguf.tensors.get("blk.0.ffn_up.weight")?.type).toBe("Q8_0");
    before.close();
    after.close();
    const files = ["--model", exported, "--text", corpus, "--corpus", corpus, "--no-cache"];
    const said = JSON.parse(await claw("train", "eval", ...files, "--window", "64", "--json")) as {
      bytes: number;
      model: number;
      five_gram: number;
    };
    const grams = new ByteGrams(documents.map((document) => new TextEncoder().encode(document)));
    const nats = documents.map((document) => grams.negativeLogLikelihood(new TextEncoder().encode(document)));
    expect(said.bytes).toBe(Buffer.byteLength(documents.join("")));
    expect(said.five_gram).toBeCloseTo(Math.exp(nats.reduce((a, b) => a + b) / said.bytes), 10);
    // Random weights know nothing, so they do worse than chance over bytes; counts of the text itself do well.
    expect(said.model).toBeGreaterThan(20);
    expect(said.five_gram).toBeLessThan(3);
  });

  test("say how often a draft agrees: always with itself, by chance with one that is as random", async () => {
    const [made, other] = [join(folder, "model.gguf"), join(folder, "other.gguf")];
    for (const [file, seed] of [
      [made, "1"],
      [other, "2"],
    ] as const)
      await claw("model", "synth", "--preset", "llama-tiny", "--seed", seed, "--out", file);
    interface Share {
      readonly positions: number;
      readonly likeliest: number;
      readonly drawn: number | null;
    }
    const agreement = async (draft: string): Promise<Record<"text" | "greedy" | "sampled", Share>> => {
      const files = ["--model", made, "--draft", draft, "--text", corpus, "--no-cache"];
      const sizes = ["--window", "64", "--bytes", "1000", "--positions", "100"];
      return JSON.parse(await claw("train", "eval", ...files, ...sizes, "--json")).draft;
    };
    const { text, greedy, sampled } = await agreement(made);
    expect(text).toMatchObject({ likeliest: 1, drawn: null });
    for (const share of [greedy, sampled]) {
      expect(share).toMatchObject({ likeliest: 1, drawn: 1 });
      expect(share.positions).toBeGreaterThanOrEqual(100);
    }
    const chance = await agreement(other);
    expect(chance.text.positions).toBe(text.positions);
    for (const share of [chance.text, chance.greedy, chance.sampled])
      expect(share.likeliest).toBeLessThan(0.2);
    expect(chance.sampled.drawn).toBeLessThan(0.2);
  });

  test("train a small model without the native core, and refuse to go on with it", async () => {
    const config = join(folder, "small.json");
    writeFileSync(
      config,
      JSON.stringify({
        model: {
          name: "small",
          layers: 1,
          width: 16,
          heads: 2,
          kvHeads: 1,
          headDim: 8,
          ffnWidth: 16,
          context: 32,
        },
        data: { train: corpus, vocabulary: 290, heldOut: 0.4 },
        schedule: { tokens: 32 * 2 * 3, batch: 2, warmup: 1, rate: 0.01 },
        validBatches: 1,
        preview: { tokens: 2 },
      }),
    );
    const run = ["train", "--config", config, "--folder", join(folder, "run")];
    expect(await claw(...run, "--device", "reference")).toContain("Trained:");
    expect(openModel(join(folder, "run", "small.gguf")).description.layers).toBe(1);
    if (nativeAvailable())
      await expect(claw(...run)).rejects.toThrow("another configuration, corpus or arithmetic");
  });
});

test("a command without a model takes the only one in models/, else the one that comes with the project", () => {
  const models = scratchFolder();
  expect(() => chooseModel(undefined, models)).toThrow("has none");
  mkdirSync(join(models, "tales"));
  writeFileSync(join(models, "tales", "tales.gguf"), "");
  expect(chooseModel(undefined, models)).toBe(join(models, "tales", "tales.gguf"));
  writeFileSync(join(models, "mine.gguf"), "");
  expect(chooseModel(undefined, models)).toBe(join(models, "mine.gguf"));
  expect(chooseModel("named.gguf", models)).toBe("named.gguf");
  writeFileSync(join(models, "other.gguf"), "");
  expect(() => chooseModel(undefined, models)).toThrow("has several: mine.gguf, other.gguf");
});
