/** `claw bench shard`: a short run of the real thing. */

import { expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { claw, makeFolder } from "../cli/claw.ts";

const native = nativeAvailable();
const without = native ? "" : " (skipped: the native core is not built)";

test.skipIf(!native)(`holds two processes against one, and counts what they exchange${without}`, async () => {
  const env = { XDG_CACHE_HOME: makeFolder() };
  const { status, stdout } = await claw(
    ["bench", "shard", "--preset", "llama-tiny", "--rounds", "1", "--json"],
    {
      env,
    },
  );
  expect(status).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ bench: "shard", rounds: 1, driver: "shared", batch: 8 });
  const { tensor, pipeline, pipelineHalves, pipelineOneStep } = report;
  for (const { split, alone, ratio, aloneSeconds, splitSeconds } of [
    tensor,
    pipeline,
    pipelineHalves,
    pipelineOneStep,
  ]) {
    expect(ratio).toBeCloseTo(split / alone, 6);
    expect(aloneSeconds).toHaveLength(1);
    expect(splitSeconds).toHaveLength(1);
  }
  expect([report.tensorRatio, report.pipelineRatio]).toEqual([tensor.ratio, pipeline.ratio]);
  // The embedding, and after attention and FFN of each of three layers; the embedding's row is in one rank alone.
  expect(tensor.roundTripsPerToken).toBe(7);
  expect(tensor.messagesPerToken).toBe(2 * 6 + 1);
  // A step's rows are one message.
  expect(pipeline.roundTripsPerToken).toBe(1);
  expect(pipeline.messagesPerToken).toBe(1 / 8);
  expect(pipelineOneStep.messageBytesPerToken).toBe(pipeline.messageBytesPerToken);
});
