/** Streams of simulated servers: what clients are told, whatever happens. */

import { describe, expect, test } from "vitest";
import { simulate, simulateMany } from "../../sim/cluster.sim.ts";
import type { Defect } from "../../sim/cluster.ts";

const SEEDS = 25;

describe("streams in simulated time", () => {
  test("no seed loses, repeats or changes a token, and all that can come between happened", async () => {
    const { counts, streams, failed } = await simulateMany({ first: 1, count: SEEDS }, { streams: true });
    expect(failed.map(({ seed, violations }) => `${seed}: ${violations[0]}`)).toEqual([]);
    for (const fault of ["stop", "lost runtime", "full journal", "journal garbage"]) {
      expect(counts.faults[fault], fault).toBeGreaterThan(SEEDS / 2);
    }
    const least: Partial<typeof streams> = {
      opened: 3 * SEEDS,
      deleted: SEEDS / 2,
      events: 100 * SEEDS,
      resumed: 3 * SEEDS,
      behind: SEEDS / 4,
      passedOver: 50 * SEEDS,
      standby: 5 * SEEDS,
      unkept: SEEDS / 4,
      takeovers: 3 * SEEDS,
      inherited: 3 * SEEDS,
      expected: SEEDS,
      drawnAgain: 20 * SEEDS,
      removedRecords: 10 * SEEDS,
      refusedRecords: SEEDS,
      lateRecords: SEEDS / 10,
      unanswered: SEEDS,
      dropped: SEEDS,
      runtimes: SEEDS / 4,
    };
    for (const [name, count] of Object.entries(least)) {
      expect(streams[name as keyof typeof streams], name).toBeGreaterThan(count);
    }
    expect(streams.whole).toBe(streams.opened);
  });

  test("a seed is the same run again", async () => {
    const [once, again] = [await simulate(3, { streams: true }), await simulate(3, { streams: true })];
    expect(once.streams.events).toBeGreaterThan(10);
    expect(once).toEqual(again);
  });

  test.each<readonly [defect: Defect, seeds: number, problems: readonly RegExp[]]>([
    ["one-token-too-few", 8, [/was told .* not/]],
    ["one-token-too-many", 8, [/was told .* not/]],
    ["late-owner", 8, [/sends an event w/, /sends \{.* where/, /was told .* not/]],
    ["one-event-too-few", 8, [/was told .* after/]],
    ["one-event-too-many", 8, [/was told .* after/]],
    ["early-promise", 15, [/E_STREAM/]],
    ["early-retirement", 15, [/E_STREAM/]],
  ])("the defect %s is noticed", async (defect, seeds, problems) => {
    const { failed } = await simulateMany({ first: 1, count: seeds }, { streams: true, defect });
    expect(failed.length).toBeGreaterThan(1);
    const found = failed.flatMap(({ violations }) => violations);
    for (const problem of problems) {
      expect(
        found.some((each) => problem.test(each)),
        `${problem}`,
      ).toBe(true);
    }
  });
});
