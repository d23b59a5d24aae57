/** Simulated clusters from thousands of seeds, with and without streams: 4,000 for ten minutes of CLAW_SOAK_MINUTES. */

import { expect, test } from "vitest";
import { simulateMany } from "../../sim/cluster.sim.ts";

const minutes = Number(process.env["CLAW_SOAK_MINUTES"] ?? 10);
const first = 1000 * Number(process.env["CLAW_SOAK_SEED"] ?? 1);

test.each([false, true])(
  "no seed breaks a promise (with streams: %s)",
  async (streams) => {
    const { failed } = await simulateMany({ first, count: Math.round(200 * minutes) }, { streams });
    expect(failed.map(({ seed, violations }) => `${seed}: ${violations[0]}`)).toEqual([]);
  },
  3_600_000,
);
