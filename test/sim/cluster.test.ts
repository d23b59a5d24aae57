import { describe, expect, test } from "vitest";
import { simulate, simulateMany } from "../../sim/cluster.sim.ts";

const SEEDS = 40;

describe("the cluster in simulated time", () => {
  test("no seed breaks a promise, and every fault happened", async () => {
    const { counts, failed } = await simulateMany({ first: 1, count: SEEDS });
    expect(failed.map(({ seed, violations }) => `${seed}: ${violations[0]}`)).toEqual([]);
    for (const fault of [
      "partition",
      "pause",
      "crash",
      "double crash",
      "stop",
      "replace",
      "server crash",
      "loss",
      "delay",
      "garbage",
      "offer",
    ]) {
      expect(counts.faults[fault], fault).toBeGreaterThan(SEEDS);
    }
    // Takeovers, writes of overtaken holders and writers of one revision, old orders, processes whose name was taken.
    expect(counts.epochs).toBeGreaterThan(3 * SEEDS);
    expect(counts.plans).toBeGreaterThan(3 * SEEDS);
    expect(counts.refusedWrites).toBeGreaterThan(SEEDS);
    expect(counts.orders).toBeGreaterThan(50 * SEEDS);
    expect(counts.refusedOrders).toBeGreaterThan(SEEDS / 2);
    expect(counts.displaced).toBeGreaterThan(SEEDS / 4);
    expect(counts.dropped).toBeGreaterThan(SEEDS);
  });

  test("a seed is the same run again", async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });

  test.each([
    ["blind-writes", /two holders|believe to hold|after one of/],
    ["no-fence", /took an order of epoch/],
    ["endless-lease", /act as holders at the same time/],
  ] as const)("the defect %s is noticed", async (defect, problem) => {
    const { failed } = await simulateMany({ first: 1, count: 20 }, { defect });
    expect(failed.length).toBeGreaterThan(2);
    expect(failed.flatMap(({ violations }) => violations).some((found) => problem.test(found))).toBe(true);
  });
});
