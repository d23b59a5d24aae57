/** I/O: the thread that writes checkpoints, and a process that is killed while it does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Checkpoint, CheckpointWriter, loadCheckpoint } from "../../../src/train/checkpoint/mod.ts";
import { scratchFolder } from "../data/corpus.ts";

const sizes = new Map([
  ["parameters", 1000],
  ["moments", 10],
]);

function stateAt(step: number): Checkpoint {
  const arrays = new Map([...sizes].map(([name, size]) => [name, new Float32Array(size).fill(step)]));
  return { step, arrays, meta: { cursor: { epoch: 1, window: step } } };
}

describe("the writer", () => {
  test("keeps what was there when it was told, bit for bit, whatever becomes of it then", async () => {
    const folder = scratchFolder();
    expect(await loadCheckpoint(folder)).toBeUndefined();
    const writer = new CheckpointWriter(folder, sizes);
    for (let step = 1; step <= 7; step++) {
      const state = stateAt(step);
      state.arrays.get("parameters")!.set([Number.NaN, -0, 2 ** -149]);
      await writer.save(state);
      for (const values of state.arrays.values()) values.fill(-1);
    }
    await writer.close();
    const expected = stateAt(7);
    expected.arrays.get("parameters")!.set([Number.NaN, -0, 2 ** -149]);
    expect(await loadCheckpoint(folder)).toEqual(expected);
    expect(readdirSync(join(folder, "checkpoints"))).toHaveLength(2 * (sizes.size + 1));
  });

  test("says that it cannot write", async () => {
    const folder = scratchFolder();
    writeFileSync(join(folder, "checkpoints"), "a file where a folder should be");
    const writer = new CheckpointWriter(folder, sizes);
    await writer.save(stateAt(1));
    await expect(writer.flush()).rejects.toMatchObject({ code: "E_FILE" });
    await expect(writer.save(stateAt(2))).rejects.toMatchObject({ code: "E_FILE" });
    await expect(writer.close()).rejects.toMatchObject({ code: "E_FILE" });
  });
});

const script = fileURLToPath(new URL("run.ts", import.meta.url));

/** Lets a run save some checkpoints and then live a little longer; the step it found, the last it called durable, and whether it complained. */
async function live(folder: string, { checkpoints, ms }: { checkpoints: number; ms: number }) {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, folder]);
  let output = "";
  let complaint = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  child.stderr.on("data", (text) => {
    complaint += text;
  });
  const closed = once(child, "close");
  const lines = (): number => output.split("\n").length - 1;
  while (lines() < 1 + checkpoints && child.exitCode === null) await sleep(1);
  await sleep(ms);
  child.kill("SIGKILL");
  await closed;
  const steps = [...output.matchAll(/(\w+) (\d+)\n/g)];
  const found = Number(steps[0]?.[2] ?? -1);
  return { found, durable: Number(steps.at(-1)?.[2] ?? 0), complaint };
}

describe("a killed run", () => {
  const kills = 12;

  test(`goes on from the last durable checkpoint or a newer one, ${kills} times and more`, async () => {
    const folder = scratchFolder();
    let durable = 0;
    let newer = 0;
    // Where a kill falls is the machine's choice: more of them, until one fell behind a checkpoint that was not told.
    for (let kill = 0; kill < kills || (newer === 0 && kill < 10 * kills); kill++) {
      const life = await live(folder, { checkpoints: kill % 4, ms: (kill * 7) % 30 });
      expect(life.complaint).toBe("");
      expect(life.found).toBeGreaterThanOrEqual(durable);
      if (life.found > durable) newer++;
      durable = life.durable;
      const state = await loadCheckpoint(folder);
      if (state === undefined) continue;
      const values = [...state.arrays.values()].map((array) => new Set(array));
      expect(values).toEqual([0, 1, 2].map((i) => new Set([state.step * 3 + i])));
      expect(state.meta).toEqual({ cursor: { epoch: 0, window: state.step } });
    }
    expect(durable).toBeGreaterThan(15);
    expect(newer).toBeGreaterThan(0);
  });
});
