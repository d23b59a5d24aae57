import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { modelWork } from "../../src/bench/work.ts";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { openModelFile } from "../../src/model/mod.ts";
import { claw, makeFolder, makeTinyModel, type Outcome } from "../cli/claw.ts";
import { peerInstalled } from "../peer.ts";

const folder = makeFolder();
const model = makeTinyModel(folder);
const env = { XDG_CACHE_HOME: join(folder, "cache") };

const native = nativeAvailable();
const noNative = native ? "" : " (skipped: the native core is not built)";
const peer = native && peerInstalled();
const noPeer = peer ? "" : " (skipped: no native core, or no peer: npm ci --prefix tools/peer)";

interface Share {
  readonly amount: number;
  readonly seconds: number;
  readonly ceiling: number;
  readonly fraction: number;
}

interface Report {
  readonly ours: number;
  readonly peer: number | null;
  readonly ratio: number | null;
  readonly ceilings: Readonly<Record<"readBytes" | "multiplies" | "floatOperations", readonly number[]>>;
  readonly roundSeconds: Readonly<Record<string, readonly number[]>>;
  readonly peerDetails: { readonly features: string; readonly flashAttention: string } | null;
  readonly details: Readonly<Record<string, unknown>>;
}

const run = (args: readonly string[]): Promise<Outcome> => claw(["bench", ...args], { env, cwd: folder });
const tiny = ["--preset", "llama-tiny", "--threads", "2", "--rounds", "1"];

async function measured(args: readonly string[]): Promise<Report> {
  const { status, stdout, stderr } = await run([...args, "--json"]);
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  const report = JSON.parse(stdout) as Report;
  expect(report).toMatchObject({ threads: 2, rounds: 1, machine: { description: expect.any(String) } });
  expect(report.ours).toBeGreaterThan(0);
  for (const rates of [
    report.ceilings.readBytes,
    report.ceilings.multiplies,
    report.ceilings.floatOperations,
  ]) {
    expect(rates.every((rate) => Number.isFinite(rate) && rate > 1e6)).toBe(true);
    expect(rates).toHaveLength(2);
  }
  for (const seconds of Object.values(report.roundSeconds)) {
    expect(seconds).toHaveLength(1);
    expect(seconds.every((value) => value > 0)).toBe(true);
  }
  return report;
}

function expectShare(share: unknown): void {
  const { amount, seconds, ceiling, fraction } = share as Share;
  expect(amount > 0 && seconds > 0 && ceiling > 0).toBe(true);
  expect(fraction).toBeCloseTo(amount / seconds / ceiling, 9);
}

describe.skipIf(!native)(`claw bench${noNative}`, () => {
  test.each(["i8", "i4", "f16"])("decode, %s", async (format) => {
    const report = await measured(["decode", ...tiny, "--format", format]);
    expect(report).toMatchObject({ peer: null, ratio: null, format, unit: "tokens/s" });
    expectShare(report.details["bandwidth"]);
    expectShare(report.details["compute"]);
  });

  test("batch compares a shared step with steps apart", async () => {
    const { details } = await measured(["batch", ...tiny, "--batch", "5"]);
    expect(details).toMatchObject({ sequences: 5, context: 96, sharedStepRatio: expect.any(Number) });
    expect(details["sharedStepRatio"]).toBeGreaterThan(0);
  });

  test("attention is timed beside decoding, at the model's context where that is smaller", async () => {
    const { details, roundSeconds } = await measured(["attention", ...tiny]);
    expect(details).toMatchObject({ context: 1024, kvBytes: 1024 * 3 * 2 * 16 * 2 * 2 });
    expect(Object.keys(roundSeconds)).toEqual(["decode", "attention"]);
    expectShare(details["attention"]);
  });

  test("prefill names the best of its steps", async () => {
    const { details, roundSeconds } = await measured(["prefill", ...tiny, "--context", "700"]);
    expect(Object.keys(roundSeconds)).toEqual(["rows256", "rows512", "rows1024"]);
    expect([256, 512, 1024]).toContain(details["rows"]);
    expectShare(details["compute"]);
    expectShare(details["promptAttention"]);
  });

  test("kernels measures every shape at every batch, and a step without work", async () => {
    const { details } = await measured(["kernels", ...tiny]);
    const products = details["products"] as readonly Record<string, unknown>[];
    // q and o; k and v; gate and up; down; the output.
    expect(products.map(({ rows, columns, batch }) => `${rows}x${columns}@${batch}`)).toEqual(
      ["64x64", "32x64", "160x64", "64x160", "512x64"].flatMap((shape) =>
        [1, 4, 16, 512].map((batch) => `${shape}@${batch}`),
      ),
    );
    for (const { compute, bandwidth } of products) {
      expectShare(compute);
      expectShare(bandwidth);
    }
    expect(details["stepOverheadMicroseconds"]).toBeGreaterThan(0);
  });

  test("a preset's file is made once, and a file can be named instead", async () => {
    await measured(["decode", ...tiny]);
    const models = join(folder, "cache", "openclaw", "bench");
    const made = statSync(join(models, "llama-tiny-q8_0.gguf")).mtimeMs;
    await measured(["decode", ...tiny]);
    expect(statSync(join(models, "llama-tiny-q8_0.gguf")).mtimeMs).toBe(made);
    expect(readdirSync(models).filter((name) => !name.endsWith(".gguf"))).toEqual([]);
    const named = await measured(["decode", "--model", model, "--threads", "2", "--rounds", "1"]);
    expect(named).toMatchObject({ model: { preset: null, file: "tiny.gguf" } });
  });

  test("--record writes the figures that are printed, once for each measurement", async () => {
    const args = ["decode", ...tiny, "--format", "i4", "--record"];
    await run(args);
    const { stdout, status } = await run(args);
    expect(status).toBe(0);
    const page = readFileSync(join(folder, "bench", "results.md"), "utf8");
    expect(page.match(/^## .*$/gm)).toEqual(["## decode i4 llama-tiny"]);
    const ours = /^ {2}Ours +(.*)$/m.exec(stdout)?.[1] ?? "";
    expect(ours).toMatch(/tokens\/s$/);
    expect(page).toContain(`| Ours | ${ours} |`);
    expect(page).toContain("`./claw bench decode --preset llama-tiny --format i4 --threads 2 --rounds 1`");
  });
});

test("the work of a model is its matrices, each once", () => {
  const { description, gguf, close } = openModelFile(model);
  const matrices = [...gguf.tensors.values()].filter(({ shape }) => shape.length === 2);
  const values = matrices.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const { rowMacs, outputMacs, readFraction } = modelWork(description, "i8");
  expect(rowMacs + outputMacs).toBe(values);
  expect(readFraction).toBe(1);
  const untied = modelWork({ ...description, tiedOutput: false }, "i8");
  expect(untied.readFraction).toBe(values / (values + 512 * 64));
  close();
});

test.each([
  [["kernels", "--peer", "llama.cpp"], "takes no --peer"],
  [["kernels", "--context", "9"], "takes no --context"],
  [["prefill", "--batch", "2"], "takes no --batch"],
  [["sprint"], "no measurement"],
  [["decode", "--preset", "llama-tiny", "--model", "x"], "not both"],
  [["decode", "--preset", "llama-tiny", "--context", "16"], "takes 17 to 1024"],
])("claw bench %j is refused", async (args, complaint) => {
  const { status, stdout, stderr } = await run(args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toContain(complaint);
});

describe.skipIf(!peer)(`claw bench with llama.cpp${noPeer}`, () => {
  test.each([
    ["decode", "i8"],
    ["decode", "i4"],
    ["batch", "i8"],
    ["attention", "i8"],
    ["prefill", "f16"],
  ])("%s, %s", async (bench, format) => {
    const report = await measured([bench, ...tiny, "--format", format, "--peer", "llama.cpp"]);
    expect(report.peer).toBeGreaterThan(0);
    expect(report.ratio).toBeCloseTo(report.ours / (report.peer ?? 0), 9);
    expect(report.peerDetails?.features).toMatch(/^CPU : /);
    expect(["off", "on"]).toContain(report.peerDetails?.flashAttention);
  });
});
