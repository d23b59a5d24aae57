/** I/O: the commands around training, as a user types them. */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { chooseModel } from "../../src/cli/files.ts";
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
