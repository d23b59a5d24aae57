/** I/O: what checkpoints cost, of an exercise that is nothing but waiting. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { measureCheckpoints } from "../../src/bench/checkpoints.ts";
import { loadCheckpoint } from "../../src/train/checkpoint/mod.ts";
import { scratchFolder } from "../train/data/corpus.ts";

test("rounds with a checkpoint and without are counted, and each checkpoint is there", async () => {
  const folder = scratchFolder();
  let updates = 0;
  const exercise = {
    tokens: 10,
    state: new Map([["trained", new Float32Array(1000).fill(3)]]),
    update: async () => {
      updates++;
      await sleep(1);
    },
  };
  const report = await measureCheckpoints(exercise, { rounds: 3, threads: 2, folder });
  expect(report).toMatchObject({ bytes: 4000, count: 4, intervalSeconds: 60 });
  expect(updates).toBe(2 * 4 * 3);
  expect(report.stallMsMax).toBeGreaterThanOrEqual(report.stallMsMedian);
  expect([report.roundSeconds.on.length, report.roundSeconds.off.length]).toEqual([3, 3]);
  expect(await loadCheckpoint(folder)).toMatchObject({ step: 3, arrays: exercise.state });
});
