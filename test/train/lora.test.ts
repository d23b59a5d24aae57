/** I/O: adapters trained beside a model, as `claw train lora` does, and what others make of them. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { createRuntime, measurePerplexity } from "../../src/engine/mod.ts";
import { nativeAvailable, openNativeDevice, openNativeTraining } from "../../src/kernels/mod.ts";
import { Generator, openModel, readAdapter } from "../../src/model/mod.ts";
import { parseLoraConfig, parseTrainConfig, trainAdapter, trainModel } from "../../src/train/mod.ts";
import { oracle, peerInstalled } from "../peer.ts";
import { scratchFolder } from "./data/corpus.ts";

const run = promisify(execFile);
const folder = scratchFolder();
const base = join(folder, "base", "toy.gguf");
const NAMES = ["adapter_config.json", "adapter_model.safetensors"];

/** Sentences of a few words: something that can be learned in a few steps. */
function story(words: readonly (readonly string[])[], sentences: number): string {
  const generator = new Generator(sentences, 1);
  const pick = (choice: readonly string[]): string => choice[generator.below(choice.length)] as string;
  return Array.from({ length: sentences }, () => `The ${words.map(pick).join(" ")}.`).join(" ");
}

const first = [
  ["old", "small", "red"],
  ["fox", "king", "ship"],
  ["saw", "lost", "found"],
  ["the"],
  ["ring", "river", "road"],
];
const second = [["ring", "river"], ["found", "lost"], ["small", "old"], ["king"], ["saw"], ["ship", "road"]];

const common = {
  schedule: { tokens: 64 * 4 * 24, batch: 4, warmup: 4, rate: 0.01 },
  ...{ validEvery: 8, preview: { tokens: 4 }, checkpointSeconds: 1000 },
};
const loraConfig = {
  ...common,
  name: "second",
  base: "base/toy.gguf",
  adapter: { rank: 4, alpha: 8 },
  data: { train: "second.txt", valid: "second-valid.txt" },
};

interface Machine {
  readonly threads?: number;
  /** Lines of progress, which come every ten steps, after which the run is told to stop. */
  readonly stopAfter?: number;
}

async function onDevice<T>(
  { threads = 2, stopAfter = Number.POSITIVE_INFINITY }: Machine,
  use: (options: Omit<Parameters<typeof trainAdapter>[0], "config" | "folder">) => Promise<T>,
): Promise<T> {
  const device = openNativeTraining({ threads });
  let lines = 0;
  try {
    return await use({
      ...{ base: folder, device, clock: () => performance.now() / 1e3, computed: () => 0 },
      stopped: () => lines >= stopAfter,
      say: (line) => {
        lines += line.startsWith("step") ? 1 : 0;
      },
      onProgress: () => undefined,
    });
  } finally {
    device.close();
  }
}

function trainSecond(name: string, change: object = {}, machine: Machine = {}) {
  const config = parseLoraConfig(JSON.stringify({ ...loraConfig, ...change }), "second.json");
  return onDevice(machine, (options) => trainAdapter({ ...options, config, folder: join(folder, name) }));
}

const filesOf = (name: string): Buffer[] =>
  NAMES.map((file) => readFileSync(join(folder, name, "adapter", file)));
const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe.skipIf(!nativeAvailable())("training an adapter (needs the native core)", () => {
  let before: string;
  let result: Awaited<ReturnType<typeof trainAdapter>>;

  beforeAll(async () => {
    writeFileSync(join(folder, "first.txt"), story(first, 3000));
    writeFileSync(join(folder, "first-valid.txt"), story(first, 100));
    writeFileSync(join(folder, "second.txt"), story(second, 1000));
    writeFileSync(join(folder, "second-valid.txt"), story(second, 150));
    const model = {
      name: "toy",
      layers: 2,
      width: 64,
      heads: 2,
      kvHeads: 1,
      headDim: 32,
      ffnWidth: 128,
      context: 64,
    };
    const data = { train: "first.txt", valid: "first-valid.txt", vocabulary: 290 };
    const config = parseTrainConfig(JSON.stringify({ ...common, model, data }), "toy.json");
    await onDevice({}, (options) => trainModel({ ...options, config, folder: join(folder, "base") }));
    before = digestOf(base);
    result = await trainSecond("two");
  }, 60_000);

  test("lowers the perplexity of another text and leaves the model's file as it was", () => {
    expect(result.ended).toBe(true);
    expect(result.after).toBeLessThan(0.7 * result.before);
    expect(digestOf(base)).toBe(before);
  });

  test("gives the same bits on one thread, on two, and after a stop", async () => {
    await trainSecond("one", {}, { threads: 1 });
    expect(filesOf("one")).toEqual(filesOf("two"));
    expect(await trainSecond("stopped", {}, { stopAfter: 1 })).toMatchObject({
      ended: false,
      file: undefined,
    });
    const resumed = await trainSecond("stopped");
    expect(resumed).toMatchObject({ ended: true, before: result.before, after: result.after });
    expect(filesOf("stopped")).toEqual(filesOf("two"));
  }, 60_000);

  test("leaves A as it was drawn where it is frozen (FFA-LoRA), and only there", async () => {
    const description = openModel(base).description;
    const short = { schedule: { ...common.schedule, tokens: 64 * 4 * 4 }, optimizer: { decay: 1 } };
    const adapterAfter = async (name: string, change: object) => {
      await trainSecond(name, change);
      return readAdapter(join(folder, name, "adapter"), description);
    };
    const adapter = { ...loraConfig.adapter, targets: ["q_proj", "down_proj"] };
    const frozen = { adapter: { ...adapter, freezeA: true } };
    // One step with a rate of next to nothing leaves what was drawn.
    const still = { ...common.schedule, tokens: 64 * 4, warmup: 0, rate: 1e-30 };
    const drawn = await adapterAfter("drawn", { ...frozen, schedule: still });
    const trained = await adapterAfter("frozen", { ...frozen, ...short });
    const free = await adapterAfter("free", { adapter, ...short });
    expect([...trained.matrices.keys()]).toEqual(
      [0, 1].flatMap((n) => [`blk.${n}.attn_q.weight`, `blk.${n}.ffn_down.weight`]),
    );
    for (const [name, { a, b }] of drawn.matrices) {
      expect(trained.matrices.get(name)?.a).toEqual(a);
      expect(trained.matrices.get(name)?.b).not.toEqual(b);
      expect(free.matrices.get(name)?.a).not.toEqual(a);
    }
  }, 60_000);

  test("refuses to go on with another adapter, and matrices and texts that there are not", async () => {
    await trainSecond("other", {}, { stopAfter: 1 });
    const rank = trainSecond("other", { adapter: { rank: 5, alpha: 8 } });
    await expect(rank).rejects.toMatchObject({ code: "E_CHECKPOINT" });
    expect(() => trainSecond("bad", { adapter: { targets: ["lm_head"] } })).toThrow("adapter.targets");
    await expect(trainSecond("long", { context: 65 })).rejects.toMatchObject({ code: "E_CONFIG" });
    await expect(trainSecond("none", { data: { train: "none.txt" } })).rejects.toMatchObject({
      code: "E_FILE",
    });
  }, 60_000);

  test("leaves what the engine computes, in every token's probability", async () => {
    const model = openModel(base);
    const adapter = readAdapter(join(folder, "two", "adapter"), model.description);
    const device = openNativeDevice({ threads: 1 });
    const sizes = { context: 64, batch: 1, rows: 64, outputs: 64 };
    const runtime = await createRuntime(device, model, {
      format: "f16",
      kvFormat: "f32",
      adapters: [adapter],
      ...sizes,
    });
    const tokens = model.tokenizer.encode(readFileSync(join(folder, "second-valid.txt"), "utf8"), {
      addSpecial: false,
    });
    const measured = async (which: number): Promise<number> =>
      (await measurePerplexity(runtime, tokens, { window: 64, bos: undefined, adapter: which })).perplexity;
    // Training's windows score their first halves, too, which are harder.
    expect((await measured(1)) / (await measured(0))).toBeLessThan(0.7);
    expect(Math.abs((await measured(1)) / (result.after ?? 0) - 1)).toBeLessThan(0.15);
    device.close();
    model.close();
  });

  const peer = peerInstalled();
  test.skipIf(!peer)(
    `has llama.cpp's perplexity, merged into the model and beside it${peer ? "" : " (skipped: tools/peer/node_modules is missing)"}`,
    async () => {
      const adapter = join(folder, "two", "adapter");
      const [merged, alone] = [join(folder, "merged.gguf"), join(folder, "alone.gguf")];
      await run("./claw", ["model", "export", base, "--adapter", adapter, "--type", "f32", "--out", merged]);
      await run("./claw", ["model", "export", base, "--adapter", adapter, "--adapter-only", "--out", alone]);
      const text = join(folder, "second-valid.txt");
      const args = ["--text", text, "--window", "64", "--format", "f16", "--no-cache", "--json"];
      const ours = async (...more: string[]): Promise<number> => {
        const { stdout } = await run("./claw", ["perplexity", ...args, ...more]);
        return (JSON.parse(stdout) as { perplexity: number }).perplexity;
      };
      const model = openModel(base);
      const tokens = model.tokenizer.encode(readFileSync(text, "utf8"), { addSpecial: true });
      model.close();
      writeFileSync(join(folder, "tokens.json"), JSON.stringify([...tokens]));
      const theirs = async (more: Readonly<Record<string, string>>): Promise<number> => {
        const options = { "tokens-file": join(folder, "tokens.json"), window: 64, ...more };
        return ((await oracle("perplexity", options)) as { perplexity: number }).perplexity;
      };
      const beside = await ours("--model", base, "--adapter", adapter);
      for (const other of [
        await ours("--model", merged),
        await theirs({ model: merged }),
        await theirs({ model: base, lora: alone }),
      ]) {
        expect(Math.abs(other / beside - 1)).toBeLessThan(0.002);
      }
      expect(beside).toBeLessThan(0.7 * (await theirs({ model: base })));
    },
    120_000,
  );
});
