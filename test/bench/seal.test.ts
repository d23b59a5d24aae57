/** `claw bench seal`: a short run of the real thing. */

import { expect, test } from "vitest";
import { claw, makeFolder, makeTinyModel } from "../cli/claw.ts";

test("reports the rates of verification and of hashing, and their share", async () => {
  const model = makeTinyModel(makeFolder());
  const { status, stdout } = await claw(["bench", "seal", "--model", model, "--rounds", "2", "--json"]);
  expect(status).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ bench: "seal", model, threads: expect.any(Number) });
  expect(report.rounds).toHaveLength(2);
  for (const name of ["bytes", "bytesPerSecond", "hashingBytesPerSecond", "share"]) {
    expect(report[name], name).toBeGreaterThan(0);
  }
});
