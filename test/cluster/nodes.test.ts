/** Ranks as processes of `claw`: the answers of one process, slices of the weights, and what happens when one is lost. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNodes } from "../../src/cluster/mod.ts";
import { engineSocket, receiveHello } from "../../src/cluster/shards/joining.ts";
import { SocketListener } from "../../src/cluster/shards/socket-link.ts";
import { createRuntime, openDevice } from "../../src/engine/mod.ts";
import { type MatrixSpec, nativeAvailable } from "../../src/kernels/mod.ts";
import {
  compile,
  type OpenedFile,
  openModelFile,
  proportionalPlacement,
  synthesize,
} from "../../src/model/mod.ts";
import { exitOf, makeFolder, repository, start } from "../cli/claw.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { answersOf, BATCH, CONTEXT, ROWS, randomQuestions } from "./answers.ts";

const command = ["env", `XDG_CACHE_HOME=${makeFolder()}`, join(repository, "claw")];
const how = { command, device: "auto", threads: 1 } as const;
const sizes = { format: "i8", context: CONTEXT, batch: BATCH, rows: ROWS } as const;

let tiny: TinyModel;

beforeAll(() => {
  tiny = tinyModel(3);
});

afterAll(() => tiny.remove());

function folders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("claw-ranks-"));
}

describe("ranks as processes", () => {
  test("answer as one process does, and end when they are told", async () => {
    const { model } = tiny;
    const { vocabulary } = model.description;
    const questions = randomQuestions(vocabulary, new Random(9));
    const { device } = await openDevice({ device: "auto", threads: 1 });
    const expected = await answersOf(await createRuntime(device, model, sizes), vocabulary, questions);
    device.close();
    const before = folders();
    const placement = proportionalPlacement(model.description, { stages: [2, 1], shards: [1, 1] });
    const runtime = await startNodes(model, { ...sizes, ...how, placement, microBatchRows: 4 });
    expect(await answersOf(runtime, vocabulary, questions)).toEqual(expected);
    expect(runtime.executable.cutSteps).toBeGreaterThan(0);
    await runtime.close();
    expect(runtime.processes.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
    expect(folders().filter((name) => !before.includes(name))).toEqual([]);
  });

  test("one that is killed fails the steps that follow, and the others end", async () => {
    const { model } = tiny;
    const placement = proportionalPlacement(model.description, { stages: [1, 1], shards: [1, 1] });
    const runtime = await startNodes(model, { ...sizes, ...how, placement });
    await runtime.executable.execute(1, 1);
    const [, killed] = runtime.processes;
    killed?.kill("SIGKILL");
    await expect(runtime.executable.execute(1, 1)).rejects.toMatchObject({ code: "E_LINK" });
    await expect(runtime.executable.execute(1, 1)).rejects.toMatchObject({ code: "E_LINK" });
    await runtime.close();
    for (const { exitCode, signalCode } of runtime.processes) expect(exitCode ?? signalCode).not.toBeNull();
    expect(killed?.signalCode).toBe("SIGKILL");
  });

  test("one that cannot load says why", async () => {
    const missing = { ...tiny.model, source: { ...tiny.model.source, name: join(tmpdir(), "missing.gguf") } };
    const placement = proportionalPlacement(tiny.model.description, { stages: [1], shards: [1, 1] });
    const starting = startNodes(missing as OpenedFile, { ...sizes, ...how, placement });
    await expect(starting).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringContaining("missing"),
    });
  });

  test("what cannot be started says so", async () => {
    const placement = proportionalPlacement(tiny.model.description, { stages: [1], shards: [1, 1] });
    const options = { ...sizes, ...how, placement, command: ["/nowhere/claw"] };
    await expect(startNodes(tiny.model, options)).rejects.toMatchObject({ code: "E_LINK" });
  });

  test("one whose engine is gone ends, too", async () => {
    const folder = mkdtempSync(join(tmpdir(), "claw-alone-"));
    const listener = await SocketListener.open(engineSocket(folder));
    try {
      const child = start(["node", "rank", "--join", folder, "--rank", "3"]);
      let words = "";
      child.stderr?.on("data", (part) => {
        words += part;
      });
      const exited = exitOf(child);
      const link = await listener.accept();
      expect(await receiveHello(link, new Set([3]))).toBe(3);
      link.close();
      expect(await exited).toBe(1);
      expect(words).toContain("The link to the engine's process ended");
    } finally {
      listener.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Bytes of an `i8` slice: one for each weight, and a scale for every 64 of a row's segment. */
function sliceBytes({ rowRange, segmentRange, columns, segments }: MatrixSpec): number {
  const length = columns / segments;
  const perSegment = length + 4 * Math.ceil(length / 64);
  return (rowRange[1] - rowRange[0]) * (segmentRange[1] - segmentRange[0]) * perSegment;
}

describe.skipIf(!nativeAvailable())("slices (skipped where no native core is built)", () => {
  test("a rank holds its slice of the weights and no more than 5 % beside it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "claw-slices-"));
    const out = join(folder, "135m.gguf");
    synthesize({ preset: "llama-135m", layers: 2, type: "q8_0", outliers: false, seed: 1, out });
    const file = openModelFile(out);
    try {
      const { description } = file;
      const placement = proportionalPlacement(description, { stages: [1], shards: [1, 2] });
      const runtime = await startNodes(file, { ...sizes, ...how, device: "native", placement });
      await runtime.close();
      const vectors = (2 * description.layers + 1) * description.width * 4;
      const table = CONTEXT * description.headDim * 4;
      const programs = compile(description, { format: "i8", placement });
      const expected = programs.map(({ matrices }) =>
        matrices.reduce((sum, spec) => sum + sliceBytes(spec), vectors + table),
      );
      for (const [rank, { memory }] of runtime.reports.entries()) {
        const slice = expected[rank] ?? 0;
        expect(memory.weights).toBeGreaterThanOrEqual(slice);
        expect(memory.weights).toBeLessThanOrEqual(slice * 1.05);
      }
      // A third and two thirds: 3 attention segments, 8 FFN segments.
      expect((expected[0] ?? 0) / (expected[1] ?? 0)).toBeLessThan(0.55);
    } finally {
      file.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
