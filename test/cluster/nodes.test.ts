/** Ranks as processes of `claw`: the answers of one process, slices of the weights, and what happens when one is lost. */

import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { at } from "../../src/base/mod.ts";
import {
  joinRanks,
  type LinkPlace,
  Meeting,
  planRanks,
  type RankTerms,
  settingsOf,
  startNodes,
  startRanks,
} from "../../src/cluster/mod.ts";
import { BEAT_MS } from "../../src/cluster/shards/limits.ts";
import { createRuntime, openDevice } from "../../src/engine/mod.ts";
import { type ExchangeCounts, type MatrixSpec, nativeAvailable } from "../../src/kernels/mod.ts";
import {
  compile,
  type OpenedFile,
  openModelFile,
  proportionalPlacement,
  synthesize,
} from "../../src/model/mod.ts";
import { claw, exitOf, makeFolder, repository, start } from "../cli/claw.ts";
import { type TinyModel, tinyModel } from "../engine/tiny.ts";
import { Random } from "../kernels/random.ts";
import { answersOf, BATCH, CONTEXT, ROWS, randomQuestions } from "./answers.ts";

// What ranks leave behind is looked for, and other tests start ranks, too.
process.env["TMPDIR"] = makeFolder();

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

/** Ranks that this test starts itself, where they meet, and their files. */
class Others {
  readonly meeting: Meeting;
  readonly #folder: string;
  readonly #access = { secret: "07".repeat(32), epoch: 3 };

  constructor(name: string) {
    this.#folder = mkdtempSync(join(tmpdir(), `claw-${name}-`));
    const addresses = [this.shared("engine")];
    this.meeting = new Meeting({ host: "here", addresses }, settingsOf("the engine's process", this.#access));
  }

  shared(name: string): LinkPlace["addresses"][number] {
    return { driver: "shared", host: join(this.#folder, name), port: 0 };
  }

  start(
    rank: number,
    place: LinkPlace,
  ): {
    readonly process: ChildProcess;
    readonly exited: Promise<number | null>;
    readonly words: readonly string[];
  } {
    const child = start(["node", "rank"]);
    const words: string[] = [];
    child.stderr?.on("data", (part) => words.push(String(part)));
    const engine = at(this.meeting.place.addresses, 0);
    const terms: RankTerms = { rank, engine, place, ...this.#access };
    child.stdin?.end(JSON.stringify(terms));
    return { process: child, exited: exitOf(child), words };
  }

  async close(): Promise<void> {
    await this.meeting.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A step says of its exchanges what is its own: the next one like it says the same, and the ranks' sums grow by both. */
async function expectStepCounted({ executable }: Awaited<ReturnType<typeof startNodes>>): Promise<void> {
  const before = executable.exchangesOfRanks;
  await executable.execute(1, 1);
  const { exchanges, messages, bytes } = executable.lastExchanges;
  await executable.execute(1, 1);
  expect(executable.lastExchanges).toMatchObject({ exchanges, messages, bytes });
  const grown = (name: keyof ExchangeCounts): number[] =>
    executable.exchangesOfRanks.map((counts, rank) => counts[name] - at(before, rank)[name]);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  expect(Math.max(...grown("exchanges"))).toBe(2 * exchanges);
  expect(sum(grown("messages"))).toBe(2 * messages);
  expect(sum(grown("bytes"))).toBe(2 * bytes);
  // Two of each of the first stage's layers, and the hop.
  expect(exchanges).toBeGreaterThan(4);
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
    for (const { exchanges, messages, bytes } of runtime.executable.exchangesOfRanks) {
      expect(Math.min(exchanges, messages, bytes)).toBeGreaterThan(10);
    }
    await expectStepCounted(runtime);
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

  test.each([
    ["SIGKILL", "ended"],
    ["SIGSTOP", "has said nothing"],
  ] as const)("one that gets %s while nothing runs is noticed", async (signal, words) => {
    const { model } = tiny;
    const placement = proportionalPlacement(model.description, { stages: [1], shards: [1, 1] });
    const runtime = await startNodes(model, { ...sizes, ...how, placement });
    const { promise, resolve } = Promise.withResolvers<void>();
    runtime.lost.addEventListener("abort", () => resolve());
    // It was heard of, so that its silence means something.
    await sleep(5 * BEAT_MS);
    expect(runtime.lost.aborted).toBe(false);
    runtime.processes[1]?.kill(signal);
    await promise;
    expect(runtime.lost.reason).toMatchObject({ code: "E_LINK", message: expect.stringContaining(words) });
    await runtime.close();
    for (const { exitCode, signalCode } of runtime.processes) expect(exitCode ?? signalCode).not.toBeNull();
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

  test("that somebody else started, on several hosts", async () => {
    const { model } = tiny;
    const { vocabulary } = model.description;
    const questions = randomQuestions(vocabulary, new Random(9));
    const { device } = await openDevice({ device: "auto", threads: 1 });
    const expected = await answersOf(await createRuntime(device, model, sizes), vocabulary, questions);
    device.close();
    const placement = proportionalPlacement(model.description, { stages: [2, 1], shards: [1, 1] });
    const options = { ...sizes, device: "auto", threads: 1, placement } as const;
    const meeting = new Others("two");
    try {
      // The first stage is one host, which only shared memory connects; the others are each of their own.
      const tcp = { driver: "tcp", host: "127.0.0.1", port: 0 } as const;
      const children = ["a", "a", "b", "c"].map((host, rank) => {
        const addresses = host === "a" ? [meeting.shared(`rank-${rank}`), tcp] : [tcp];
        return meeting.start(rank, { host, addresses });
      });
      const ranks = await joinRanks(meeting.meeting, children.length);
      const reports = await startRanks(model, ranks, options);
      const { join: joined } = planRanks(model.description, options);
      const links = ranks.map(({ link }) => link);
      const runtime = joined({ links, reports, end: async () => {} });
      expect(await answersOf(runtime, vocabulary, questions)).toEqual(expected);
      await runtime.close();
      expect(await Promise.all(children.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
    } finally {
      await meeting.close();
    }
  });

  test("one whose engine is gone ends, too", async () => {
    const meeting = new Others("alone");
    try {
      const child = meeting.start(0, { host: "here", addresses: [meeting.shared("rank")] });
      const [rank] = await joinRanks(meeting.meeting, 1);
      rank?.link.close();
      expect(await child.exited).toBe(1);
      expect(child.words.join("")).toContain("Talking to the engine's process failed.");
    } finally {
      await meeting.close();
    }
  });

  test("whose peer is stopped in the middle of a step, end with the engine's link", async () => {
    const { model } = tiny;
    const meeting = new Others("stopped");
    const placement = proportionalPlacement(model.description, { stages: [1], shards: [1, 1] });
    const options = { ...sizes, device: "auto", threads: 1, placement } as const;
    try {
      const children = [0, 1].map((rank) =>
        meeting.start(rank, { host: "here", addresses: [meeting.shared(`rank-${rank}`)] }),
      );
      const ranks = await joinRanks(meeting.meeting, 2);
      const reports = await startRanks(model, ranks, options);
      const links = ranks.map(({ link }) => link);
      const { executable } = planRanks(model.description, options).join({
        links,
        reports,
        end: async () => {},
      });
      await executable.execute(1, 1);
      const stopped = at(children, 1).process;
      stopped.kill("SIGSTOP");
      let over = false;
      const step = executable.execute(1, 1).finally(() => {
        over = true;
      });
      step.catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(over).toBe(false); // rank 0's compute thread waits
      at(links, 0).close();
      await expect(step).rejects.toMatchObject({ code: "E_LINK" });
      expect(await at(children, 0).exited).toBe(1);
      stopped.kill("SIGKILL");
      await at(children, 1).exited;
    } finally {
      await meeting.close();
    }
  });

  test("what is not told which rank it is says so, and does not repeat what it was told", async () => {
    const { status, stderr } = await claw(["node", "rank"], { input: '{"secret": "0707"}' });
    expect(status).toBe(2);
    expect(stderr).toContain("claw node rank was not told on its standard input which rank it is.");
    expect(stderr).not.toContain("0707");
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
