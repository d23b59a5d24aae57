/** `claw bench ledger`: a short run of the real thing. */

import { expect, test } from "vitest";
import { sampleEntry } from "../../src/bench/ledger/entry.ts";
import { claw, makeFolder } from "../cli/claw.ts";

test("reports durable appends, every sync, and the disk's ceiling", async () => {
  const folder = makeFolder();
  const flags = ["--rounds", "1", "--seconds", "0.3", "--clients", "8", "--publish-ms", "50"];
  const { status, stdout } = await claw(["bench", "ledger", ...flags, "--folder", folder, "--json"]);
  expect(status).toBe(0);
  const report = JSON.parse(stdout) as Record<string, number> & { disk: Record<string, number> };
  for (const name of [
    "entriesPerSecond",
    "latencyMsP50",
    "latencyMsP99",
    "entries",
    "checkpoints",
    "syncs",
  ]) {
    expect(report[name], name).toBeGreaterThan(0);
  }
  expect(report["entries"]).toBeLessThanOrEqual((report["commits"] as number) * 8);
  expect(report.disk["syncsPerSecond"]).toBeGreaterThan(0);
});

test("entries are canonical JSON of the size asked for, and all different", () => {
  const entries = [1, 2, 300].map((sequence) => Buffer.from(sampleEntry(sequence, 1229)).toString());
  expect(new Set(entries).size).toBe(3);
  for (const entry of entries) {
    expect(entry).toHaveLength(1229);
    const fields = Object.entries(JSON.parse(entry) as Record<string, unknown>);
    expect(fields.map(([name]) => name)).toEqual(fields.map(([name]) => name).sort());
  }
});
