/** `claw bench ledger`: a short run of the real thing. */

import { expect, test } from "vitest";
import { SampleEntries } from "../../src/bench/ledger/entry.ts";
import { parseEntry } from "../../src/records/mod.ts";
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

test("entries are the ledger's, of the size asked for, and all different", () => {
  for (const size of [1280, 1400, 1483, 1484, 1485, 1486, 1487, 1488, 1489, 1490, 1600, 65_535]) {
    const samples = new SampleEntries(size);
    const entries = [1, 2, 300].map((sequence) => samples.at(sequence));
    for (const entry of entries) expect(entry).toHaveLength(size);
    expect(new Set(entries.map((entry) => parseEntry(entry).stream)).size).toBe(3);
  }
});
