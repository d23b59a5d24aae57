/** `claw bench link`: a short run of the real thing. */

import { expect, test } from "vitest";
import { nativeAvailable } from "../../src/kernels/mod.ts";
import { claw } from "../cli/claw.ts";
import { ucxMissing } from "../cluster/link/ucx.ts";

const native = nativeAvailable();
const without = native ? "" : " (skipped: the native core is not built)";

test.skipIf(!native)(
  `times messages over every driver, beside one memcpy and the wire${without}`,
  async () => {
    const { status, stdout } = await claw(["bench", "link", "--rounds", "1", "--messages", "100", "--json"]);
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      bench: "link",
      rounds: 1,
      links: [
        { driver: "shared", encrypted: false, wireMicros: 0 },
        { driver: "tcp", encrypted: true, wireMicros: expect.any(Number) },
        ...(ucxMissing() === "" ? [{ driver: "ucx", encrypted: false, wireMicros: 0 }] : []),
      ],
    });
    for (const link of report.links) {
      for (const name of ["smallMicrosP50", "smallMicrosP99", "largeMicros", "copyMicros", "largeRatio"]) {
        expect(link[name], `${link.driver} ${name}`).toBeGreaterThan(0);
      }
      expect(link.smallMicrosP99).toBeGreaterThanOrEqual(link.smallMicrosP50);
    }
    for (const name of ["wireMicros", "smallWireMicros"]) expect(report.links[1][name]).toBeGreaterThan(0);
  },
);
