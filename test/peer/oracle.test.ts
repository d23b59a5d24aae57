/** Checks the oracle itself: against published token ids, and its parts against each other. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { oracle, peerInstalled } from "../peer.ts";

const shared = fileURLToPath(new URL("../../../shared", import.meta.url));
const model = join(shared, "models", "stories260K.gguf");
const corpus = join(shared, "corpus", "classics-valid.txt");
const vocab = 512;
const missing = !peerInstalled() || !existsSync(shared);
const reason = missing ? " (skipped: tools/peer/node_modules or ../shared is missing)" : "";

const folder = mkdtempSync(join(tmpdir(), "oracle-"));
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const ids = async (args: Record<string, string | true>): Promise<number[]> =>
  ((await oracle("tokenize", { model, ...args })) as { ids: number[] }).ids;

/** Rows of raw logits after each of the tokens. */
async function logits(
  tokens: readonly number[],
  options: Record<string, string> = {},
): Promise<Float32Array[]> {
  writeFileSync(path("tokens.json"), JSON.stringify(tokens));
  await oracle("logits", { model, "tokens-file": path("tokens.json"), out: path("logits.bin"), ...options });
  const { buffer } = new Uint8Array(readFileSync(path("logits.bin")));
  const all = new Float32Array(buffer);
  return Array.from({ length: all.length / vocab }, (_, row) => all.subarray(row * vocab, (row + 1) * vocab));
}

const logSumExp = (row: Float32Array): number =>
  Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));

describe.skipIf(missing)(`the oracle${reason}`, () => {
  test.each(["llama-spm", "llama-bpe", "qwen2"])("tokenizes the published texts of %s", async (name) => {
    const vector = join(shared, "vectors", "tokenizer", `ggml-vocab-${name}.gguf`);
    const texts = readFileSync(`${vector}.inp`, "utf8").split("\n__ggml_vocab_test__\n");
    const lines = readFileSync(`${vector}.out`, "utf8").split("\n").slice(0, texts.length);
    const expected = lines.map((line) => (line.trim() === "" ? [] : line.trim().split(" ").map(Number)));
    writeFileSync(path("texts.json"), JSON.stringify(texts));
    const said = await oracle("tokenize", { model: vector, texts: path("texts.json"), "no-special": true });
    expect(texts.length).toBeGreaterThan(40);
    expect(said).toEqual({ ids: expected });
  });

  test("tokenizes BOS and the names of special tokens as told", async () => {
    const plain = await ids({ text: "a</s>", "no-special": true });
    expect(await ids({ text: "a</s>", "plain-text": true })).toEqual([1, ...plain]);
    expect(await ids({ text: "a</s>" })).toEqual([1, plain[0], 2]);
  });

  test("generates the tokens whose logits are largest", async () => {
    const options = { model, prompt: "Once upon a time", "max-tokens": 60 };
    const said = (await oracle("generate", options)) as { prompt: number[]; ids: number[]; text: string };
    expect(said.prompt).toEqual([1, 403, 407, 261, 378]);
    expect(said.text).toMatch(/^, there was a little girl/);
    expect(said.ids).toHaveLength(60);
    const rows = await logits([...said.prompt, ...said.ids], { from: String(said.prompt.length - 1) });
    expect(rows).toHaveLength(61);
    expect(rows.slice(0, 60).map((row) => row.indexOf(Math.max(...row)))).toEqual(said.ids);
  });

  test("its perplexity is that of the logits it writes", async () => {
    const window = 64;
    const text = readFileSync(corpus).subarray(0, 600).toString("latin1");
    const tokens = (await ids({ text, "plain-text": true })).slice(0, 3 * window + 5);
    expect(tokens.length).toBeGreaterThan(3 * window);
    writeFileSync(path("all.json"), JSON.stringify(tokens));
    const options = { model, "tokens-file": path("all.json"), window, out: path("windows.bin") };
    const said = (await oracle("perplexity", options)) as Record<"perplexity" | "nll" | "count", number>;
    let nll = 0;
    for (let start = 0; start + window <= tokens.length; start += window) {
      const part = [1, ...tokens.slice(start + 1, start + window)];
      const rows = await logits(part);
      for (let at = window / 2; at <= window - 2; at++) {
        nll += logSumExp(rows[at]!) - rows[at]![part[at + 1]!]!;
      }
    }
    expect(said.count).toBe(3 * 31);
    expect(Math.abs(said.nll - nll)).toBeLessThan(1e-9 * nll);
    expect(said.perplexity).toBeCloseTo(Math.exp(nll / said.count), 9);
    expect(readFileSync(path("windows.bin"))).toHaveLength(3 * 31 * vocab * 4);
  });

  test("its divergence is that of known distributions", async () => {
    const rows = (...values: number[]): Float32Array => Float32Array.from(values, (p) => Math.log(p) + 7);
    writeFileSync(path("base.bin"), rows(0.5, 0.25, 0.25, 0.2, 0.3, 0.5));
    writeFileSync(path("other.bin"), rows(0.25, 0.5, 0.25, 0.2, 0.3, 0.5));
    const said = await oracle("kl", { base: path("base.bin"), other: path("other.bin"), vocab: 3 });
    const first = 0.25 * Math.log(2);
    expect(said).toEqual({
      rows: 2,
      kl: expect.closeTo(first / 2, 6),
      klMax: expect.closeTo(first, 6),
      sameTop: 0.5,
    });
    await expect(
      oracle("kl", { base: path("base.bin"), other: path("other.bin"), vocab: 4 }),
    ).rejects.toThrow("Check --vocab.");
  });
});
