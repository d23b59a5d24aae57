/**
 * Adapters in one batch with each other and with the model alone: tokens and logits are those of each request by itself, on the
 * TypeScript reference, whatever runs beside it.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createRuntime,
  defaultSampling,
  Engine,
  type RequestRecord,
  type Runtime,
  scoreTokens,
} from "../../src/engine/mod.ts";
import type { Device, WeightFormat } from "../../src/kernels/mod.ts";
import { type OpenedFile, openModelFile, type StoredAdapter } from "../../src/model/mod.ts";
import { exportModel, mergeAdapter, readModel } from "../../src/train/mod.ts";
import { randomAdapter } from "./random-adapter.ts";
import { type DeviceChoice, nativeDevices, reference, type TinyModel, tinyModel } from "./tiny.ts";

const LENGTH = 70;
const CONTEXT = 96;
/** Tokens that requests begin with: two whole pages and a little. */
const PROMPT = 66;
const formats: readonly WeightFormat[] = ["f16", "i8", "i4"];

let tiny: TinyModel;
let folder: string;
let adapters: readonly StoredAdapter[];
const tokens = Int32Array.from({ length: LENGTH }, (_, i) => (i * 37 + 5) % 512);

beforeAll(() => {
  tiny = tinyModel(3);
  folder = mkdtempSync(join(tmpdir(), "claw-adapters-"));
  const { description } = tiny.model;
  adapters = [
    randomAdapter(join(folder, "all"), description, { rank: 5, seed: 1, strength: 0.5 }),
    randomAdapter(join(folder, "some"), description, { rank: 20, seed: 2, targets: ["q", "v", "down"] }),
  ];
});
afterAll(() => {
  tiny.remove();
  rmSync(folder, { recursive: true, force: true });
});

interface RuntimeChoice {
  readonly format: WeightFormat;
  readonly degree?: number;
  readonly model?: OpenedFile;
  readonly kvFormat?: "f32";
}

function runtimeOn(
  device: Device,
  { format, degree = 1, model = tiny.model, kvFormat }: RuntimeChoice,
): Promise<Runtime> {
  const sizes = { context: CONTEXT, batch: 8, rows: 48, outputs: 48 };
  return createRuntime(device, model, { format, degree, kvFormat, adapters, ...sizes });
}

/** The logits after every token. */
async function logitsOf(runtime: Runtime, adapter: number): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  await scoreTokens(runtime, tokens, { from: 0, adapter, visit: (_, logits) => rows.push(logits.slice()) });
  return rows;
}

/** By the adapter, counted from 1; 0: the model alone. */
async function truth(format: WeightFormat): Promise<Float32Array[][]> {
  const runtime = await runtimeOn(reference.open(), { format });
  return [await logitsOf(runtime, 0), await logitsOf(runtime, 1), await logitsOf(runtime, 2)];
}

const variants: readonly (DeviceChoice & { readonly degree: number })[] = [
  { ...reference, degree: 2 },
  ...nativeDevices.flatMap((device) => [1, 2].map((degree) => ({ ...device, degree }))),
];

describe.each(formats)("%s logits", (format) => {
  test("are those of each alone, with base and both adapters in every step, on every device and split", async () => {
    const expected = await truth(format);
    for (const { name, open, degree } of variants) {
      const device = open();
      const runtime = await runtimeOn(device, { format, degree });
      const { step } = runtime.executable;
      const vocabulary = step.logits.length / step.outputs.length;
      let compared = 0;
      // Three sequences, 16 tokens of each in a step; pages of their own.
      for (let page = 0; page < 9; page++) step.pages[page] = page;
      for (let first = 0; first < LENGTH; first += 16) {
        const count = Math.min(16, LENGTH - first);
        const rows = Array.from({ length: 3 * count }, (_, row) => ({
          adapter: row % 3,
          at: Math.floor(row / 3),
        }));
        for (const [row, { adapter, at }] of rows.entries()) {
          step.tokens[row] = tokens[first + at] as number;
          step.positions[row] = first + at;
          step.pageStart[row] = 3 * adapter;
          step.adapters[row] = adapter;
          step.outputs[row] = row;
        }
        await runtime.executable.execute(rows.length, rows.length);
        for (const [row, { adapter, at }] of rows.entries()) {
          const found = step.logits.subarray(row * vocabulary, (row + 1) * vocabulary);
          const wanted = expected[adapter]?.[first + at] as Float32Array;
          const differs = wanted.findIndex((value, i) => !Object.is(value, found[i]));
          if (differs >= 0)
            expect.fail(`${name}, split ${degree} ways, adapter ${adapter}, position ${first + at}`);
          compared++;
        }
      }
      expect(compared).toBe(3 * LENGTH);
      device.close();
    }
    const last = expected.map((rows) => rows.at(-1)?.join());
    expect(new Set(last).size).toBe(3);
  }, 300_000);
});

test("an adapter is what the merged model computes, within what rounding costs", async () => {
  const merged = join(folder, "merged.gguf");
  const content = readModel(tiny.path);
  const [adapter] = adapters;
  exportModel(merged, mergeAdapter(content, adapter as StoredAdapter), "f32");
  const model = openModelFile(merged);
  const device = (nativeDevices.at(-1) ?? reference).open();
  const kvFormat = "f32";
  const whole = await logitsOf(await runtimeOn(device, { format: "f16", model, kvFormat }), 0);
  const beside = await logitsOf(await runtimeOn(device, { format: "f16", kvFormat }), 1);
  const alone = await logitsOf(await runtimeOn(device, { format: "f16", kvFormat }), 0);
  const distance = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
    Math.sqrt(
      a.reduce((sum, row, i) => sum + row.reduce((s, x, k) => s + (x - (b[i]?.[k] ?? 0)) ** 2, 0), 0),
    );
  expect(distance(beside, whole)).toBeLessThan(0.1 * distance(alone, whole));
  device.close();
  model.close();
});

interface Asked {
  readonly adapter: string | undefined;
  readonly seed: number;
  readonly temperature?: number;
}

/** Runs requests to their ends, all submitted at once; the tokens of each, and how many came from the prefix cache. */
async function answers(
  engine: Engine,
  asked: readonly Asked[],
): Promise<{ readonly tokens: number[]; readonly hits: number }[]> {
  const found = asked.map(() => ({ tokens: [] as number[], hits: 0 }));
  const places = new Map<number, number>();
  const ended = (record: RequestRecord): void => {
    const own = found[places.get(record.id) ?? -1];
    if (own !== undefined) own.hits = record.prefixHitTokens;
  };
  engine.observe({ ended });
  for (const [i, { adapter, ...sampling }] of asked.entries()) {
    const request = {
      prompt: tokens.slice(0, PROMPT),
      maxTokens: 12,
      sampling: { ...defaultSampling, ...sampling },
      stopTokens: [],
      adapter,
    };
    const id = engine.submit(request, {
      token: ({ token }) => found[i]?.tokens.push(token),
      failed: (error) => {
        throw error;
      },
    });
    places.set(id, i);
  }
  while (await engine.step());
  return found;
}

test("requests with one prompt and different adapters share neither tokens nor pages", async () => {
  const device = (nativeDevices.at(-1) ?? reference).open();
  const runtime = await runtimeOn(device, { format: "i8" });
  const newEngine = (): Engine => new Engine({ ...runtime, vocabulary: 512, batch: 8, clock: () => 0 });
  const digests = [undefined, ...runtime.adapters];
  const asked = Array.from({ length: 9 }, (_, i) => ({ adapter: digests[i % 3], seed: i }));
  const solo: number[][] = [];
  for (const each of asked) solo.push((await answers(newEngine(), [each]))[0]?.tokens ?? []);
  const engine = newEngine();
  const together = await answers(engine, asked);
  expect(together.map((each) => each.tokens)).toEqual(solo);
  // Pages of the base are there by now, and of the adapters, each in a tree of its own.
  const fresh = newEngine();
  const order = [0, 1, 2, 0, 1, 2].map((i) => ({ adapter: digests[i], seed: 100 }));
  const hits: number[] = [];
  for (const each of order) hits.push((await answers(fresh, [each]))[0]?.hits ?? -1);
  expect(hits).toEqual([0, 0, 0, 64, 64, 64]);
  const same = asked.filter((_, i) => i >= 3 && solo[i]?.join() === solo[i % 3]?.join());
  expect(same.length).toBeLessThan(3);
  device.close();
});

test("a request's tokens are those of the adapter that it names", async () => {
  const runtime = await runtimeOn((nativeDevices.at(-1) ?? reference).open(), { format: "i8" });
  const likeliest: number[] = [];
  for (const adapter of [0, 1, 2]) {
    const logits = (await logitsOf(runtime, adapter))[PROMPT - 1] ?? new Float32Array(0);
    likeliest.push(logits.indexOf(Math.max(...logits)));
  }
  expect(new Set(likeliest).size).toBe(3);
  const asked = [undefined, ...runtime.adapters].map((adapter) => ({ adapter, seed: 0, temperature: 0 }));
  const engine = new Engine({ ...runtime, vocabulary: 512, batch: 8, clock: () => 0 });
  expect((await answers(engine, asked)).map((each) => each.tokens[0])).toEqual(likeliest);
});

test("an adapter that is not there is refused", async () => {
  const runtime = await runtimeOn(reference.open(), { format: "f16" });
  const engine = new Engine({ ...runtime, vocabulary: 512, batch: 8, clock: () => 0 });
  const request = {
    prompt: tokens,
    maxTokens: 1,
    sampling: defaultSampling,
    stopTokens: [],
    adapter: "none",
  };
  const listener = { token: () => {}, failed: () => {} };
  expect(() => engine.submit(request, listener)).toThrow("no adapter none");
});
