/** I/O: writes models, and has the engine and, where it is installed, llama.cpp read them. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Generator, type ModelDescription, openModel } from "../../../src/model/mod.ts";
import { dequantize, quantizeSource, type SourceType, sourceByteLength } from "../../../src/tensor/mod.ts";
import { readTokenizer, trainTokenizer } from "../../../src/train/data/tokenizer.ts";
import { type ExportType, exportModel, exportTypes, STORY_TEMPLATE } from "../../../src/train/export/mod.ts";
import { elementCount, modelTensors } from "../../../src/train/export/tensors.ts";
import { oracle, peerInstalled } from "../../peer.ts";
import { corpusReason, scratchFolder, smallDocuments, validPath } from "../data/corpus.ts";

const run = promisify(execFile);
const documents = smallDocuments([400, 300]);
const tokenizer = readTokenizer(trainTokenizer(documents, { vocabulary: 300 }), "small");

function describeSmall(change: Partial<ModelDescription> = {}): ModelDescription {
  return {
    ...{ architecture: "llama", name: "small", layers: 2, width: 64, heads: 4, kvHeads: 2, headDim: 16 },
    ...{ ffnWidth: 96, vocabulary: 300, context: 128, normEpsilon: Math.fround(1e-5), tiedOutput: true },
    rope: { pairs: "adjacent", base: 10_000, positionDivisor: 1, frequencyDivisors: undefined },
    ...change,
  };
}

function randomParameters(description: ModelDescription): Map<string, Float32Array> {
  const generator = new Generator(3, 1);
  return new Map(
    modelTensors(description).map((tensor) => {
      const deviation = tensor.shape.length === 1 ? 0.1 : 1 / Math.sqrt(tensor.shape[0]);
      const mean = tensor.shape.length === 1 ? 1 : 0;
      const draw = (): number => mean + deviation * generator.gaussian();
      return [tensor.name, Float32Array.from({ length: elementCount(tensor) }, draw)];
    }),
  );
}

function write(type: ExportType, description = describeSmall()) {
  const path = join(scratchFolder(), `${type}.gguf`);
  const parameters = randomParameters(description);
  const content = { description, parameters, tokenizer: tokenizer.metadata, chatTemplate: STORY_TEMPLATE };
  exportModel(path, content, type);
  return { path, parameters };
}

function rounded(values: Float32Array, type: SourceType): Float32Array {
  const bytes = new Uint8Array(sourceByteLength(type, values.length));
  quantizeSource(type, values, bytes);
  const out = new Float32Array(values.length);
  dequantize(type, bytes, out);
  return out;
}

describe("an exported model", () => {
  const odd = describeSmall({
    ...{ headDim: 32, tiedOutput: false, name: "odd" },
    rope: {
      ...{ pairs: "adjacent", base: 5000, positionDivisor: 2 },
      frequencyDivisors: Float32Array.from({ length: 16 }, (_, i) => 1 + i / 8),
    },
  });

  test.each(exportTypes.flatMap((type) => [describeSmall(), odd].map((model) => ({ type, model }))))(
    "as $type says of $model.name what it is, and holds its weights rounded to that type",
    ({ type, model }) => {
      const { path, parameters } = write(type, model);
      const read = openModel(path);
      expect(read.description).toEqual(model);
      for (const [name, values] of parameters) {
        const info = read.gguf.tensors.get(name)!;
        const found = new Float32Array(values.length);
        dequantize(info.type, read.source.read(info.offset, info.byteLength), found);
        const source = info.shape.length === 1 ? "F32" : (type.toUpperCase() as SourceType);
        expect(info.type).toBe(source);
        expect(found).toEqual(rounded(values, source));
      }
      const text = documents[0]!;
      expect(read.tokenizer.encode(text)).toEqual(tokenizer.tokenizer.encode(text));
      read.close();
    },
  );

  test("whose rows q8_0 cannot hold is refused", () => {
    expect(() => write("q8_0", describeSmall({ ffnWidth: 80 }))).toThrow("multiples of 32");
  });

  test("goes on with a story: on its line, or after a sentence with a new paragraph", () => {
    const model = openModel(write("f32").path);
    const render = (...said: string[]): string => {
      const roles = ["user", "assistant"];
      const messages = said.map((content, i) => ({ role: roles[i % 2]!, content }));
      const system = { role: "system", content: "You are kind." };
      const pieces = model.template.render([system, ...messages], { addGenerationPrompt: true });
      return pieces.map(({ text }) => text).join("");
    };
    expect(render(" Once upon a time ")).toBe("<|endoftext|>Once upon a time");
    expect(render("There was a fox.")).toBe("<|endoftext|>There was a fox.\n\n");
    expect(render("A fox", "ran.", "It")).toBe("<|endoftext|>A fox\n\nran.\n\nIt");
    model.close();
  });

  const noPeer = peerInstalled() ? "" : " (skipped: tools/peer/node_modules is missing)";
  const reason = `${noPeer}${corpusReason}`;
  test.skipIf(reason !== "").each(exportTypes)(
    `as %s has llama.cpp's perplexity within 0.2 %%${reason.replaceAll("%", "%%")}`,
    async (type) => {
      const { path } = write(type);
      const folder = scratchFolder();
      const text = readFileSync(validPath, "utf8").slice(0, 20_000);
      writeFileSync(join(folder, "text.txt"), text);
      // The engine's nearest format: f16 holds what f32 and q8_0 say to within its rounding.
      const args = ["--text", join(folder, "text.txt"), "--window", "128", "--format", "f16", "--json"];
      const { stdout } = await run("./claw", ["perplexity", "--model", path, ...args]);
      const ours = JSON.parse(stdout) as { perplexity: number };
      const tokens = tokenizer.tokenizer.encode(text, { addSpecial: true });
      writeFileSync(join(folder, "tokens.json"), JSON.stringify([...tokens]));
      const options = { model: path, "tokens-file": join(folder, "tokens.json"), window: 128 };
      const theirs = (await oracle("perplexity", options)) as { perplexity: number };
      expect(Math.abs(ours.perplexity / theirs.perplexity - 1)).toBeLessThan(0.002);
    },
  );
});
