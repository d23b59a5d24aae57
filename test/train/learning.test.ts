import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRuntime, measurePerplexity } from "../../src/engine/mod.ts";
import { nativeAvailable, openNativeDevice, openNativeTraining } from "../../src/kernels/mod.ts";
import { Generator, openModel } from "../../src/model/mod.ts";
import { parseTrainConfig } from "../../src/train/config.ts";
import { initialParameters } from "../../src/train/initial.ts";
import { Learner } from "../../src/train/learner.ts";
import { rateAt } from "../../src/train/schedule.ts";
import { type SessionResult, trainModel } from "../../src/train/train-model.ts";
import { someExamples, tiny } from "./model.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "claw-train-"));
  writeFileSync(join(folder, "train.txt"), story(4000));
  writeFileSync(join(folder, "valid.txt"), story(300));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sentences of a few words: something that can be learned in a few steps. */
function story(sentences: number): string {
  const generator = new Generator(sentences, 1);
  const pick = (words: readonly string[]): string => words[generator.below(words.length)] as string;
  const sentence = (): string =>
    `The ${pick(["old", "small", "red"])} ${pick(["fox", "king", "ship"])} ${pick(["saw", "lost", "found"])} a ${pick(["ring", "river", "road"])}.`;
  return Array.from({ length: sentences }, sentence).join(" ");
}

const configText = JSON.stringify({
  model: { name: "toy", layers: 2, width: 64, heads: 2, kvHeads: 1, headDim: 32, ffnWidth: 128, context: 64 },
  data: { train: "train.txt", valid: "valid.txt", vocabulary: 290 },
  schedule: { tokens: 64 * 4 * 24, batch: 4, warmup: 4, rate: 0.01 },
  validEvery: 8,
  preview: { tokens: 4 },
  checkpointSeconds: 1000,
});

/** What runs have said. */
const said: string[] = [];

/** Trains the toy in a folder; stops after so many lines of progress, which come every ten steps. */
async function trainToy(
  name: string,
  options: { threads?: number; stopAfter?: number; config?: string } = {},
): Promise<SessionResult> {
  const device = openNativeTraining({ threads: options.threads ?? 2 });
  let lines = 0;
  try {
    return await trainModel({
      config: parseTrainConfig(options.config ?? configText, "toy.json"),
      base: folder,
      folder: join(folder, name),
      device,
      clock: () => performance.now() / 1e3,
      computed: () => 0,
      stopped: () => lines >= (options.stopAfter ?? Number.POSITIVE_INFINITY),
      say: (line) => {
        said.push(line);
        lines += line.startsWith("step") ? 1 : 0;
      },
      onProgress: () => undefined,
    });
  } finally {
    device.close();
  }
}

const logOf = (name: string): string => readFileSync(join(folder, name, "log.jsonl"), "utf8");
const modelOf = (name: string): Buffer => readFileSync(join(folder, name, "toy.gguf"));

describe.skipIf(!nativeAvailable())("learning (needs the native core)", () => {
  test("a model of two layers learns one batch by heart", async () => {
    const device = openNativeTraining({ threads: 2 });
    const learner = new Learner({
      ...{ device, description: tiny, context: tiny.context, parameters: initialParameters(tiny, 1) },
      optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0, clip: 1, exampleClip: 0 },
      ...{ lanes: 2, recompute: false },
    });
    const values = someExamples(2, 24);
    const targets = values.filter((value, i) => Math.floor(i / 24) % 2 === 1 && value >= 0).length;
    const losses: number[] = [];
    for (let step = 0; step < 250; step++) {
      const { loss } = await learner.step({ values, length: 24, targets }, step, 0.01);
      losses.push(loss / targets);
    }
    device.close();
    expect(losses[0]).toBeGreaterThan(3.9);
    expect(losses.at(-1)).toBeLessThan(0.01);
  });

  test("a run's losses and model are the same bits on one thread, on two, and after a stop", async () => {
    const { ended, valid } = await trainToy("two");
    expect(ended).toBe(true);
    expect(valid?.loss).toBeLessThan(4.5);
    expect(said.at(-1)).toMatch(
      /^Keeping a checkpoint held the run [\d.]+ ms \(median\), [\d.]+ ms \(at most\), of 1\.$/,
    );
    await trainToy("one", { threads: 1 });
    expect(logOf("one")).toBe(logOf("two"));
    expect(modelOf("one")).toEqual(modelOf("two"));
    expect(await trainToy("stopped", { stopAfter: 1 })).toMatchObject({ ended: false, file: undefined });
    expect(logOf("stopped").trim().split("\n").length).toBeLessThan(14);
    expect((await trainToy("stopped")).ended).toBe(true);
    expect(logOf("stopped")).toBe(logOf("two"));
    expect(modelOf("stopped")).toEqual(modelOf("two"));
  }, 60_000);

  test("what distillation turns to when the rate falls is open on the plateau, and decided after it", async () => {
    await trainToy("teacher", { stopAfter: Number.POSITIVE_INFINITY });
    const toy = JSON.parse(configText) as { schedule: object };
    const distilled = (fall?: object): string => {
      const schedule = { ...toy.schedule, shape: "stable", fall: 0.3 };
      const distill = { teacher: "teacher/toy.gguf", share: 0.9, ...(fall && { fall }) };
      return JSON.stringify({ ...toy, schedule, distill });
    };
    const fall = { temperature: 0.5, greedy: 0.1 };
    expect((await trainToy("sharp", { config: distilled(fall) })).ended).toBe(true);
    await trainToy("later", { config: distilled(), stopAfter: 1 });
    await trainToy("later", { config: distilled(fall), stopAfter: 1 });
    const other = distilled({ greedy: 0.1 });
    await expect(trainToy("later", { config: other })).rejects.toMatchObject({ code: "E_CHECKPOINT" });
    expect((await trainToy("later", { config: distilled(fall) })).ended).toBe(true);
    expect(logOf("later")).toBe(logOf("sharp"));
    expect(modelOf("later")).toEqual(modelOf("sharp"));
    await trainToy("soft", { config: distilled() });
    expect(modelOf("soft")).not.toEqual(modelOf("sharp"));
  }, 60_000);

  test("a run that keeps 16 bits learns as well, and goes on after a stop with the same bits", async () => {
    const toy = JSON.parse(configText) as object;
    const config = JSON.stringify({ ...toy, optimizer: { moments: "bf16" }, activations: "bf16" });
    const [narrow, wide] = [await trainToy("narrow", { config }), await trainToy("wide")];
    expect(Math.abs((narrow.valid?.loss ?? 0) - (wide.valid?.loss ?? 9))).toBeLessThan(0.1);
    await trainToy("narrow-stopped", { config, stopAfter: 1, threads: 1 });
    await trainToy("narrow-stopped", { config });
    expect(modelOf("narrow-stopped")).toEqual(modelOf("narrow"));
    expect(modelOf("narrow")).not.toEqual(modelOf("wide"));
  }, 60_000);

  test("a run of another configuration is refused", async () => {
    await trainToy("other", { stopAfter: 1 });
    const other = configText.replace('"rate":0.01', '"rate":0.02');
    await expect(trainToy("other", { config: other })).rejects.toMatchObject({ code: "E_CHECKPOINT" });
  });

  test("the engine finds the exported model's loss where training did", async () => {
    await trainToy("engine");
    const model = openModel(join(folder, "engine", "toy.gguf"));
    const device = openNativeDevice({ threads: 1 });
    const training = openNativeTraining({ threads: 1 });
    const { readParameters } = await import("../../src/train/weights.ts");
    const { openTeacher } = await import("../../src/train/learner.ts");
    const { description, parameters } = readParameters(join(folder, "engine", "toy.gguf"));
    const trainer = openTeacher(training, { description, parameters });
    try {
      const window = 64;
      const tokens = model.tokenizer.encode(story(300), { addSpecial: false }).slice(0, window * 20);
      const sizes = { context: window, batch: 1, rows: 64, outputs: 64 };
      const runtime = await createRuntime(device, model, {
        format: "f16",
        kvFormat: "f32",
        degree: 1,
        packed: undefined,
        ...sizes,
      });
      const engine = await measurePerplexity(runtime, tokens, { window, bos: undefined });
      // The second half of each window is scored.
      const examples = Int32Array.from({ length: 2 * tokens.length }, (_, i) => {
        const [index, part, place] = [Math.floor(i / (2 * window)), Math.floor(i / window) % 2, i % window];
        if (part === 0) return tokens[index * window + place] as number;
        return place < window / 2 || place === window - 1
          ? -1
          : (tokens[index * window + place + 1] as number);
      });
      const options = { length: window, withGradient: false, weight: 0, exampleNorm: 0 };
      const ours = await trainer.batch(examples, options);
      expect(ours.targets).toBe(engine.count);
      expect(ours.crossEntropy / ours.targets).toBeCloseTo(engine.nll / engine.count, 3);
    } finally {
      device.close();
      training.close();
      model.close();
    }
  }, 60_000);
});

test("rates rise, stay and fall as the schedule says", () => {
  const schedule = { tokens: 1, batch: 1, warmup: 4, rate: 1, rateEnd: 0.1, fall: 0.5 };
  const rates = (shape: "cosine" | "stable", steps: number): number[] =>
    Array.from({ length: steps }, (_, step) => rateAt(step, steps, { ...schedule, shape }));
  expect(rates("cosine", 24).slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
  expect(rates("cosine", 24)[14]).toBeCloseTo(0.55, 12);
  expect(rates("stable", 24).slice(4, 12)).toEqual(Array(8).fill(1));
  expect(rates("stable", 24)[18]).toBeCloseTo(0.55, 12);
  expect(rates("stable", 48).slice(0, 12)).toEqual(rates("stable", 24).slice(0, 12));
});

test.each([
  ["[", "not JSON"],
  ['{"model":{}}', "model.name"],
  [configText.replace('"batch":4', '"batch":0'), "schedule.batch"],
  [configText.replace('"layers"', '"layer"'), "model"],
  [configText.replace('"validEvery"', '"recompute":true,"activations":"f16","validEvery"'), "computed again"],
  [
    configText.replace('"validEvery"', '"optimizer":{"moments":"bf16","beta2":0.999},"validEvery"'),
    "optimizer",
  ],
  [
    configText.replace(
      '"schedule"',
      '"distill":{"teacher":"t","share":0.6,"fall":{"greedy":0.5}},"schedule"',
    ),
    "distill",
  ],
])("a configuration that is not one is refused: %#", (text, place) => {
  expect(() => parseTrainConfig(text, "x.json")).toThrow(place);
});
