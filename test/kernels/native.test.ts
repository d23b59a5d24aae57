/** The native device's manners: wrong programs and steps are errors, memory outlives what uses it, nothing hangs. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BufferSpec,
  type Device,
  nativeAvailable,
  OP,
  openNativeDevice,
  type Program,
  ReferenceDevice,
} from "../../src/kernels/mod.ts";
import { attentionCase } from "./attention-cases.ts";
import { f32Buffer, linearCase, wholeSpec } from "./cases.ts";
import { runCase } from "./kernel-case.ts";
import { Random } from "./random.ts";

const SEED = 41;
const without = nativeAvailable() ? "" : " (skipped: no native core was built)";

const open = (): Device => openNativeDevice({ threads: 2 });

const buffers: readonly BufferSpec[] = [
  f32Buffer(32),
  { kind: "quantized", name: "q", domain: "tokens", width: 32, segments: 2, format: "i8" },
  f32Buffer(8),
  f32Buffer(8, "outputs"),
];

async function eightRows(device: Device): Promise<number> {
  const spec = wholeSpec({ format: "i8", rows: 8, columns: 32, segments: 2 });
  return device.loadMatrix(spec, { type: "F32", data: new Uint8Array(new Float32Array(256).fill(1).buffer) });
}

const program = (tape: readonly number[]): Program => ({ buffers, tape: Int32Array.from(tape), logits: 3 });
const limits = { rows: 4, outputs: 2, pageEntries: 8 };

const good = [OP.QUANTIZE, 1, 0, OP.LINEAR, 2, 1, 0, OP.GATHER, 3, 2, OP.END];

describe.skipIf(!nativeAvailable())(`native device${without}`, () => {
  test("tapes that do not fit their buffers are refused", async () => {
    const device = open();
    await eightRows(device);
    device.loadVector(new Float32Array(32));
    const wrong = [
      [],
      [99],
      [OP.ADD, 0, 0],
      [OP.ADD, 0, 0, 4, OP.END],
      [OP.ADD, 0, 0, -1, OP.END],
      [OP.ADD, 0, 0, 2, OP.END],
      [OP.ADD, 0, 0, 1, OP.END],
      [OP.QUANTIZE, 0, 1, OP.END],
      [OP.LINEAR, 2, 0, 0, OP.END],
      [OP.LINEAR, 3, 1, 0, OP.END],
      [OP.LINEAR, 2, 1, 1, OP.END],
      [OP.EMBED, 2, 0, OP.END],
      [OP.RMS_NORM, 2, 2, 0, 0, OP.END],
      [OP.ROPE, 0, 0, 3, 10, 0, OP.END],
      [OP.ROPE, 0, 0, 2, 16, 2, OP.END],
      [OP.KV_WRITE, 0, 0, -1, 0, 1, OP.END],
      [OP.ATTENTION, 0, 0, 0, 0, 1, 1, 0, OP.END],
      [OP.COMBINE, 2, 0, 1, 0, 1, OP.END],
      [OP.COMBINE, 2, 0, 2, 0, 3, 3, 4, OP.END],
      [OP.GATHER, 2, 3, OP.END],
      [OP.EMBED_PARTIAL, 0, 0, 1, 8, OP.END],
      [OP.EMBED_PARTIAL, 0, 0, -1, 9, OP.END],
      [OP.SEND, 1, 0, 0, 9, 1, 0, 1, OP.END],
      [OP.SEND, 0, 0, 0, 9, 1, 0, 33, OP.END],
      [OP.RECEIVE, 0, 0, 0, 9, 2, 0, 1, 32, 1, OP.END],
      [OP.RECEIVE, 3, 0, 0, 9, 1, 0, 1, OP.END],
      good.slice(0, -1),
    ];
    for (const tape of wrong) {
      expect(() => device.prepare(program(tape), limits), `[${tape}]`).toThrow("tape is wrong");
    }
    expect(() => device.prepare({ ...program(good), logits: 2 }, limits)).toThrow("logits");
    expect(() => device.prepare(program(good), { ...limits, rows: -1 })).toThrow("limits");
    device.close();
  });

  test("random tapes either run or are refused", async () => {
    const device = open();
    const matrix = await eightRows(device);
    device.loadVector(new Float32Array(32).fill(1));
    device.allocateKv({ format: "f16", pages: 4, layers: 1, heads: 2, headDim: 16 });
    const ran = { count: 0 };
    const word = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 4 }) }, fc.integer());
    // Exchanges need links, and are tested with those.
    const untried: readonly number[] = [OP.END, OP.SEND, OP.RECEIVE];
    const codes = Object.values(OP).filter((code) => !untried.includes(code));
    const known = fc.constantFrom(
      ...[good.slice(0, 3), good.slice(3, 7), [OP.ADD, 0, 0, 0], [OP.KV_WRITE, 0, 0, 0, 0, 2]],
    );
    const operation = fc.oneof(
      known,
      fc
        .tuple(fc.constantFrom(...codes), fc.array(word, { maxLength: 7 }))
        .map(([code, rest]) => [code, ...rest]),
    );
    const tapes = fc.array(operation, { maxLength: 4 }).map((parts) => [...parts.flat(), OP.END]);
    const property = fc.asyncProperty(tapes, async (tape) => {
      try {
        // What does not fit the KV cache is refused by the step.
        await device.prepare(program(tape), limits).execute(3, 1);
        ran.count++;
      } catch (error) {
        expect(error).toMatchObject({ code: "E_INTERNAL" });
      }
    });
    expect(matrix).toBe(0);
    await fc.assert(property, { seed: SEED, numRuns: 1500 });
    expect(ran.count).toBeGreaterThan(150);
    device.close();
  });

  test("steps beyond the limits or the cache are refused", async () => {
    const device = open();
    await eightRows(device);
    device.loadVector(new Float32Array(64));
    const tape = [OP.ROPE, 0, 0, 2, 16, 0, OP.KV_WRITE, 0, 0, 0, 0, 2, OP.GATHER, 3, 2, OP.END];
    const executable = device.prepare(program(tape), limits);
    await expect(executable.execute(1, 1)).rejects.toThrow("KV cache");
    device.allocateKv({ format: "f16", pages: 4, layers: 1, heads: 2, headDim: 8 });
    await expect(executable.execute(1, 1)).rejects.toThrow("does not fit");
    device.allocateKv({ format: "f16", pages: 4, layers: 1, heads: 2, headDim: 16 });
    await executable.execute(1, 1);
    await expect(executable.execute(5, 1)).rejects.toThrow("limits");
    await expect(executable.execute(1, 3)).rejects.toThrow("limits");
    const { step } = executable;
    const refused = async (change: () => void, message: string): Promise<void> => {
      change();
      await expect(executable.execute(2, 1)).rejects.toThrow(message);
      for (const part of [step.positions, step.pageStart, step.pages, step.outputs]) part.fill(0);
      await executable.execute(2, 1);
    };
    await refused(() => step.positions.fill(4), "position");
    await refused(() => step.positions.fill(-1), "position");
    await refused(() => step.pages.fill(4), "page");
    await refused(() => step.pages.fill(-1), "page");
    await refused(() => step.pageStart.fill(8), "page table");
    await refused(() => step.pageStart.fill(-1), "page table");
    await refused(() => step.outputs.fill(2), "row");
    device.close();
  });

  test("tokens outside the vocabulary are refused", async () => {
    const device = open();
    const id = await eightRows(device);
    const executable = device.prepare(program([OP.EMBED, 0, id, OP.END]), limits);
    executable.step.tokens[1] = 8;
    await expect(executable.execute(2, 1)).rejects.toThrow("token 8");
    executable.step.tokens[1] = -1;
    await expect(executable.execute(2, 1)).rejects.toThrow("token -1");
    device.close();
  });

  test("bad weights name tensor and row as the reference does", async () => {
    const native = open();
    for (const [format, bad] of [
      ["i8", Number.NaN],
      ["i4", Number.NEGATIVE_INFINITY],
      ["f16", 65_520],
    ] as const) {
      const spec = {
        ...wholeSpec({ format, rows: 100, columns: 32, segments: 2 }),
        rowRange: [20, 100] as const,
      };
      const values = new Float32Array(3200).fill(1);
      values[70 * 32 + 5] = bad;
      values[90 * 32] = bad;
      const source = { type: "F32", data: new Uint8Array(values.buffer) } as const;
      const message = `Tensor w holds NaN, infinity or a value beyond ${format} in row 70.`;
      for (const device of [native, new ReferenceDevice()]) {
        await expect(device.loadMatrix(spec, source)).rejects.toMatchObject({ code: "E_WEIGHTS", message });
      }
    }
    native.close();
  });

  test("matrices load from files; missing and short ones are E_FILE", async () => {
    const folder = mkdtempSync(join(tmpdir(), "claw-native-"));
    const device = open();
    const kernelCase = linearCase(new Random(SEED), { format: "i4", rows: 70, columns: 96, segments: 3 });
    const { spec, type, bytes } = kernelCase.matrices[0] ?? expect.fail();
    const file = join(folder, "weights.bin");
    writeFileSync(file, Buffer.concat([Buffer.alloc(7), bytes]));
    const memory = await device.loadMatrix(spec, { type, data: bytes });
    const mapped = await device.loadMatrix(spec, { type, data: { file, offset: 7 } });
    const embed = async (id: number): Promise<Float32Array> => {
      const text = {
        buffers: [f32Buffer(96), f32Buffer(1, "outputs")],
        tape: Int32Array.of(OP.EMBED, 0, id, OP.END),
      };
      const executable = device.prepare({ ...text, logits: 1 }, { rows: 70, outputs: 1, pageEntries: 0 });
      executable.step.tokens.set(Array.from({ length: 70 }, (_, row) => row));
      await executable.execute(70, 0);
      return executable.readBuffer(0, 70);
    };
    expect(await embed(mapped)).toEqual(await embed(memory));
    for (const data of [
      { file, offset: 8 },
      { file: join(folder, "none"), offset: 0 },
    ]) {
      await expect(device.loadMatrix(spec, { type, data })).rejects.toMatchObject({ code: "E_FILE" });
    }
    await expect(device.loadMatrix(spec, { type, data: bytes.subarray(1) })).rejects.toMatchObject({
      code: "E_MODEL_SHAPE",
    });
    device.close();
    rmSync(folder, { recursive: true });
  });

  test("memory that cannot be had is E_MEMORY, and bytes are counted", async () => {
    const device = open();
    expect(device.memory()).toEqual({ weights: 0, kv: 0, buffers: 0 });
    const huge = {
      pages: 2 ** 30,
      layers: 2 ** 30,
      heads: 64,
      headDim: 128,
      format: "f16",
    } as const;
    expect(() => device.allocateKv(huge)).toThrow(expect.objectContaining({ code: "E_MEMORY" }));
    device.allocateKv({ format: "f16", pages: 64, layers: 2, heads: 2, headDim: 64 });
    expect(device.memory().kv).toBe(64 * 2 * 2 * 64 * 32 * 2 * 2);
    device.allocateKv({ format: "f32", pages: 64, layers: 2, heads: 2, headDim: 64 });
    expect(device.memory().kv).toBe(64 * 2 * 2 * 64 * 32 * 2 * 4);
    await eightRows(device);
    expect(device.memory().weights).toBeGreaterThanOrEqual(16 * 32);
    device.close();
    expect(device.memory()).toMatchObject({ weights: 0, kv: 0 });
  });

  test("segments too long for exact sums are E_MODEL_SHAPE", async () => {
    const device = open();
    const spec = wholeSpec({ format: "i4", rows: 1, columns: 16_672, segments: 1 });
    const data = new Uint8Array(16_672 * 4);
    await expect(device.loadMatrix(spec, { type: "F32", data })).rejects.toMatchObject({
      code: "E_MODEL_SHAPE",
    });
    device.close();
  });

  test("a closed device refuses work; its step block stays readable", async () => {
    const device = open();
    await eightRows(device);
    const executable = device.prepare(program(good), limits);
    await executable.execute(2, 1);
    const pending = [executable.execute(2, 1), eightRows(device)];
    device.close();
    device.close();
    // The step may have begun before the device was closed; the matrix has no device to be loaded to.
    const [step, load] = await Promise.allSettled(pending);
    if (step?.status === "rejected") expect(step.reason).toMatchObject({ code: "E_SHUTDOWN" });
    expect(load).toMatchObject({ status: "rejected", reason: { code: "E_SHUTDOWN" } });
    await expect(executable.execute(2, 1)).rejects.toMatchObject({ code: "E_SHUTDOWN" });
    expect(() => device.loadVector(new Float32Array(1))).toThrow("closed");
    expect(() => executable.readBuffer(0, 1)).toThrow("now");
    executable.step.tokens[0] = 7;
    expect(executable.step.tokens[0]).toBe(7);
  });

  test("one step of a program at a time", async () => {
    const device = open();
    await eightRows(device);
    const executable = device.prepare(program(good), limits);
    const first = executable.execute(2, 1);
    await expect(executable.execute(2, 1)).rejects.toThrow("still running");
    expect(() => device.allocateKv({ format: "f16", pages: 1, layers: 1, heads: 1, headDim: 8 })).toThrow(
      "busy",
    );
    await first;
    device.close();
  });

  test("a worker that ends in the middle of a step takes its device along", async () => {
    const worker = new Worker(new URL("native-worker.ts", import.meta.url));
    await new Promise((resolve) => worker.once("message", resolve));
    expect(await worker.terminate()).toBe(1);
    const device = open();
    await runCase(device, attentionCase(new Random(SEED)));
    device.close();
  });

  test("an idle device does not keep the process alive, a pending step does", () => {
    const script = new URL("native-idle.ts", import.meta.url).pathname;
    const printed = execFileSync(process.execPath, ["--expose-gc", script], {
      timeout: 20_000,
      encoding: "utf8",
    });
    expect(printed).toBe("stepped\n");
  });
});
