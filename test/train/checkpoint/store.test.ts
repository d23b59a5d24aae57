/** Checkpoints on a disk that loses power, with the counts of what it did to them. */
import { describe, expect, test } from "vitest";
import { Generator } from "../../../src/model/mod.ts";
import { manifestPath, partPath } from "../../../src/train/checkpoint/manifest.ts";
import {
  type CheckpointContent,
  readCheckpoint,
  writeCheckpoint,
} from "../../../src/train/checkpoint/store.ts";
import { CrashDisk, PowerLoss } from "../../ledger/crash-disk.ts";

const names = ["parameters", "first", "second"];

/** What a run has at a step: another at each step and each attempt. */
function stateAt(step: number, attempt: number): CheckpointContent {
  const generator = new Generator(step, attempt);
  const bytes = (): Uint8Array => Uint8Array.from({ length: 2000 }, () => generator.below(256));
  return { step, parts: new Map(names.map((name) => [name, bytes()])), meta: { attempt } };
}

interface Outcome {
  readonly losses: number;
  readonly lost: readonly string[];
}

/** A run that loses power again and again, and each time goes on from what it finds. */
async function runWithLosses(disk: CrashDisk, generator: Generator, lives: number): Promise<Outcome> {
  const lost: string[] = [];
  let losses = 0;
  let acknowledged = 0;
  const begun = new Map<string, CheckpointContent>();
  for (let life = 1; life <= lives; life++) {
    const found = await readCheckpoint(disk);
    const step = found?.step ?? 0;
    if (step < acknowledged) lost.push(`life ${life}: step ${step} after ${acknowledged} was durable`);
    const meta = found?.meta as { attempt: number } | undefined;
    const expected = meta && begun.get(`${step} ${meta.attempt}`);
    if (found !== undefined && JSON.stringify([...found.parts]) !== JSON.stringify([...expected!.parts])) {
      lost.push(`life ${life}: step ${step} is not what was saved`);
    }
    acknowledged = step;
    disk.failAfter(generator.below(60));
    try {
      for (let next = step + 10; ; next += 10) {
        const state = stateAt(next, life);
        begun.set(`${next} ${life}`, state);
        await writeCheckpoint(disk, state);
        acknowledged = next;
      }
    } catch (error) {
      if (!(error instanceof PowerLoss)) throw error;
      losses++;
      disk.powerOn();
    }
  }
  return { losses, lost };
}

describe("checkpoints", () => {
  const seed = 2024;

  test("survive any loss of power: the last durable one, or a newer one, comes back whole", async () => {
    const generator = new Generator(seed, 1);
    const disk = new CrashDisk(() => generator.uniform());
    const { losses, lost } = await runWithLosses(disk, generator, 600);
    expect(lost).toEqual([]);
    expect(losses).toBe(600);
    for (const [kind, count] of Object.entries(disk.counts)) expect(count, kind).toBeGreaterThan(8);
    for (const step of ["append", "sync", "replace", "remove", "list"]) {
      expect(disk.lostAt.get(`${step} checkpoint`), step).toBeGreaterThan(5);
    }
  }, 120_000);

  test("are lost by a disk whose sync does nothing, and then this test says so", async () => {
    const generator = new Generator(seed, 2);
    const disk = new CrashDisk(() => generator.uniform());
    disk.lying = true;
    const { lost } = await runWithLosses(disk, generator, 60);
    expect(lost.length).toBeGreaterThan(5);
  });

  test("are two at most, and the one before the last stands in for a damaged one", async () => {
    const disk = new CrashDisk(() => 0.9);
    for (const step of [10, 20, 30]) await writeCheckpoint(disk, stateAt(step, 0));
    expect(await disk.list("checkpoints")).toHaveLength(2 * (names.length + 1));
    for (const path of [partPath(30, "second"), manifestPath(30)]) {
      const whole = (await disk.read(path))!;
      for (const place of [0, whole.length >> 1, whole.length - 1]) {
        const damaged = whole.slice();
        damaged[place]! ^= 1;
        await disk.replace(path, damaged);
        expect((await readCheckpoint(disk))?.step, `${path} at ${place}`).toBe(20);
      }
      await disk.replace(path, whole.subarray(0, whole.length - 1));
      expect((await readCheckpoint(disk))?.step).toBe(20);
      await disk.replace(path, whole);
    }
    expect(await readCheckpoint(disk)).toEqual(stateAt(30, 0));
    await disk.remove(manifestPath(30));
    await writeCheckpoint(disk, stateAt(25, 1));
    expect(await readCheckpoint(disk)).toEqual(stateAt(25, 1));
    expect(await disk.list("checkpoints")).toHaveLength(2 * (names.length + 1));
  });
});
