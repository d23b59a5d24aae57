/** Simulated clusters from thousands of seeds, with and without streams: 4,000 for ten minutes of CLAW_SOAK_MINUTES. */

import { expect, test } from "vitest";
import { simulateMany } from "../../sim/cluster.sim.ts";

const minutes = Number(process.env["CLAW_SOAK_MINUTES"] ?? 10);
const first = 1000 * Number(process.env["CLAW_SOAK_SEED"] ?? 1);

test.each([false, true])(
  "no seed breaks a promise (with streams: %s)",
  async (streams) => {
    const count = Math.round(200 * minutes);
    const { counts, streams: seen, failed } = await simulateMany({ first, count }, { streams });
    expect(failed.map(({ seed, violations }) => `${seed}: ${violations[0]}`)).toEqual([]);
    expect(counts.epochs).toBeGreaterThan(2 * count);
    expect(counts.refusedWrites + counts.refusedOrders).toBeGreaterThan(2 * count);
    if (streams) expect(Math.min(seen.opened, seen.inherited, seen.resumed)).toBeGreaterThan(2 * count);
  },
  3_600_000,
);
